"""What chips can do at most, by their makers' sheets: dense bfloat16 operations and bytes of memory a second."""

import re
from typing import NamedTuple


class Chip(NamedTuple):
    """Operations and bytes a second."""

    peak: float
    bandwidth: float


CHIPS = {
    "B200": Chip(2250e12, 8.0e12),
    "H200": Chip(989e12, 4.8e12),
    "H100": Chip(989e12, 3.35e12),
    "A100": Chip(312e12, 2.04e12),
    "TPU v6": Chip(918e12, 1.64e12),
    "TPU v5 lite": Chip(197e12, 0.82e12),
    "TPU v5e": Chip(197e12, 0.82e12),
    "TPU v5": Chip(459e12, 2.77e12),
    "TPU v4": Chip(275e12, 1.23e12),
}
"""By a part of what jax calls the device; the first that fits. H100 and A100 are those on SXM boards, with 80 GB."""


OTHER_BOARDS = re.compile(r"PCIe|NVL")


def chip_of(kind: str) -> Chip | None:
    """Of a device's `device_kind`; none of one that is not known, as of any CPU, and of slower boards of a chip."""
    if OTHER_BOARDS.search(kind):
        return None
    return next((chip for name, chip in CHIPS.items() if re.search(rf"\b{name}", kind)), None)
