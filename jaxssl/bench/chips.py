"""What chips can do at most, by their makers' sheets: dense operations, memory and links; and what this machine can."""

import difflib
import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.errors import UserError


class Chip(NamedTuple):
    """Operations, bytes and bytes a second."""

    peak: float
    """Dense bfloat16 operations a second."""
    bandwidth: float
    """Of its own memory."""
    memory: float
    usable: float
    """Share of the memory that a program gets."""
    single: float
    """Operations a second on float32 arrays as jax multiplies them unless told otherwise: in TF32 on a GPU, in one
    bfloat16 pass on a TPU."""
    link: float
    """What a device sends to its neighbours, one direction, all links together."""
    far: float
    """The same between nodes."""
    node: int
    """Devices that the fast links join."""

    def peak_of(self, precision: str) -> float:
        """Operations a second in an arithmetic."""
        return self.peak if precision == "bfloat16" else self.single


def _gpu(peak: float, bandwidth: float, memory: float, nvlink: float, network: float) -> Chip:
    """Of its memory jax takes three quarters unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise; a node has 8."""
    return Chip(peak, bandwidth, memory, 0.75, peak / 2, nvlink, network, 8)


def _tpu(peak: float, bandwidth: float, memory: float, links: float, network: float, pod: int) -> Chip:
    """A device of a torus sends on all its links; between pods goes the data centre's network. XLA keeps a little of
    the memory."""
    return Chip(peak, bandwidth, memory, 0.95, peak, links, network, pod)


CHIPS = {
    # NVIDIA's datasheets of the SXM boards: NVLink is half of the sheet's two-way number. Networks are those of the
    # DGX systems' sheets: 400 Gb/s a GPU (A100: 200).
    "B200": _gpu(2250e12, 8.0e12, 180e9, 900e9, 50e9),  # DGX B200: 1,440 GB in 8
    "H200": _gpu(989e12, 4.8e12, 141e9, 450e9, 50e9),
    "H100": _gpu(989e12, 3.35e12, 80e9, 450e9, 50e9),
    "A100-40": _gpu(312e12, 1.555e12, 40e9, 300e9, 25e9),
    "A100": _gpu(312e12, 2.04e12, 80e9, 300e9, 25e9),
    # Google Cloud's pages of v6e, v5e and v5p: links are half of 800, 400 and 1,200 GB/s both ways; the network of v5p
    # is 50 Gb/s a chip, of v5e 6.4 Tb/s a pod of 256. v4's page: 2,400 Gb/s; networks of v6e and v4 taken as v5e's.
    "TPU v6": _tpu(918e12, 1.64e12, 32e9, 400e9, 3.1e9, 256),
    "TPU v5 lite": _tpu(197e12, 0.82e12, 16e9, 200e9, 3.1e9, 256),
    "TPU v5e": _tpu(197e12, 0.82e12, 16e9, 200e9, 3.1e9, 256),
    "TPU v5": _tpu(459e12, 2.77e12, 95e9, 600e9, 6.25e9, 8960),
    "TPU v4": _tpu(275e12, 1.23e12, 32e9, 300e9, 3.1e9, 4096),
}
"""By a part of what jax calls the device; the first that fits. H100 and A100 are those on SXM boards, with 80 GB."""

NAMED = {
    **{name.lower(): name for name in ("B200", "H200", "H100", "A100-40", "A100")},
    "a100-80": "A100",
    **{"v6e": "TPU v6", "v5e": "TPU v5e", "v5p": "TPU v5", "v4": "TPU v4"},
}
"""What people call them."""

OTHER_BOARDS = re.compile(r"PCIe|NVL")
SMALLER = re.compile(r"\bA100.*40GB")


def chip_of(kind: str) -> Chip | None:
    """Of a device's `device_kind`; none of one that is not known, as of any CPU, and of slower boards of a chip."""
    if OTHER_BOARDS.search(kind):
        return None
    if SMALLER.search(kind):
        return CHIPS["A100-40"]
    return next((chip for name, chip in CHIPS.items() if re.search(rf"\b{name}", kind)), None)


def chip_named(name: str) -> Chip:
    """Of the name that people have for it; `cpu` is this machine, measured."""
    if name.lower() == "cpu":
        return this_machine()
    known = [*NAMED, "cpu"]
    if name.lower() not in NAMED:
        nearest = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.0)
        raise UserError(f"There is no chip {name!r}; the nearest are {', '.join(nearest)}, of {', '.join(known)}.")
    return CHIPS[NAMED[name.lower()]]


def this_machine() -> Chip:
    """This machine as one device: a large product of float32 matrices and a large copy are timed."""
    side, length = 2048, 2**26
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # also where there is a GPU
        square, long = jnp.zeros((side, side)), jnp.zeros(length)
        peak = 2 * side**3 / _fastest(jnp.matmul, square, square)
        bandwidth = 2 * long.nbytes / _fastest(lambda x: x + 1, long)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # XLA multiplies bfloat16 as float32 on a CPU.
    return Chip(peak, bandwidth, memory, 1.0, peak, bandwidth, bandwidth, 1)


def _fastest(function: Callable, array: jax.Array, *others: jax.Array) -> float:
    """Seconds of it, given its own result again, over which it writes: fresh memory would have to be found first."""
    run, seconds = jax.jit(function, donate_argnums=0), []
    array = array.copy()
    for _ in range(6):
        began = time.perf_counter()
        array = jax.block_until_ready(run(array, *others))
        seconds.append(time.perf_counter() - began)
    return min(seconds)
