"""What is known of each image besides its pixels, as columns of numbers."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxssl.data.intensity import Moments
from jaxssl.data.record import MOMENTS, Record
from jaxssl.geometry import Plane

CODED = ("subject", "study", "view")
FIELDS = ("origin", "x_axis", "y_axis", "spacing", "shape")
"""The fields of a plane."""

TYPES = {
    "slice": np.int32,
    "slices": np.int32,
    "moment": np.int32,
    "position": np.float32,
    "phase": np.float32,
    "pixels": np.uint64,
}
LABEL = "label/"


@dataclass
class Columns:
    """Gathers rows as records pass; `close` turns them into arrays."""

    rows: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    labels: list[dict[str, str]] = field(default_factory=list)
    moments: dict[str, Moments] = field(default_factory=lambda: defaultdict(Moments))
    """Of the pixels of each subject."""

    def add(self, record: Record, plane: Plane) -> None:
        """Add a row; `plane` is the image's plane on the cached grid."""
        values = {
            **{key: getattr(record, key) for key in ("subject", "study", "view", "slice", "slices", "position")},
            "moment": MOMENTS.index(record.moment),
            "phase": record.phase / record.phases,
            "thickness": record.thickness,
            "has_mask": record.mask is not None,
            "pixels": hash_of(record.image),
            "source_shape": record.image.shape[:2],
            "source_spacing": record.plane.spacing,
            **{key: getattr(plane, key) for key in FIELDS},
        }
        for key, value in values.items():
            self.rows[key].append(value)
        self.labels.append(dict(record.labels))
        self.moments[record.subject] += Moments.of(record.image)

    def close(self) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
        """The table, and the names behind the codes."""
        rows, table = dict(self.rows), {}
        names: dict[str, list[str]] = {"moment": list(MOMENTS)}
        for key in CODED:
            names[key], table[key] = _code(rows.pop(key))
        table |= {key: np.asarray(values, TYPES.get(key)) for key, values in rows.items()}
        for label in sorted({label for row in self.labels for label in row}):
            names[LABEL + label], table[LABEL + label] = _code([row.get(label) for row in self.labels])
        scales = np.array([self.moments[subject].scale for subject in names["subject"]], np.float32)
        table["mean"], table["std"] = scales[table["subject"]].T
        return table, names


def hash_of(image: Shaped[np.ndarray, "y x channel"]) -> int:
    """64 bits of the values and the shape of an image; 0 where all values are one, which tells nobody apart."""
    if image.min() == image.max():
        return 0
    # Wider numbers of the same values are the same image.
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(image, np.dtype("<u2")).data)
    return int.from_bytes(digest.digest()) or 1


def _code(values: Sequence[str | None]) -> tuple[list[str], np.ndarray]:
    """Sorted distinct names, and each value's place among them, -1 for None."""
    names = sorted({value for value in values if value is not None})
    codes = {None: -1, **{name: code for code, name in enumerate(names)}}
    return names, np.array([codes[value] for value in values], np.int32)
