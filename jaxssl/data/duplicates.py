"""Near duplicates: the same picture twice, at another size, brightness or compression, or one frame apart.

Each picture gets a hash of its coarse pattern, by which candidates are found, and a sketch of its finer detail, which
confirms them, moved by a little at most. Flipped, turned and widely cropped copies are not found.
"""

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8, Shaped, UInt64

SIDE = 64
"""Pixels along a side of a sketch."""
NEIGHBOURHOOD = 7
"""Pixels of a sketch along the side of the square whose mean is taken off: fans, coils and the shape of a chest are in
many pictures and say little."""
RADIUS = 10
"""Bits in which the hashes of candidates may differ. Of all pairs of breast images (BUSI) that are as alike as `ALIKE`
none lies farther apart; other pairs are rare below 14."""
ALIKE = 0.68
"""Likeness from which on two pictures are one. Measured: copies of BUSI at another size have more than 0.99, crops and
neighbouring frames of one lesion mostly 0.68 to 0.95; clips of lungs that are not of one patient at most 0.66, patients
of HC18 0.51, of ACDC less; hearts of the phantom 0.59. Its fetuses (up to 0.8) and knees (0.9) differ in little but
proportions: some of them are taken for copies, which is the cheaper mistake than a copy on both sides of a split."""

_SPREAD = 4.0
"""Standard deviations at which a sketch ends, so that callipers and letters do not outweigh the picture."""
_BLOCK = 1 << 22
"""Hashes compared, and bytes of sketches, at a time."""


class Alike(NamedTuple):
    """Two pictures, by their places in a gallery, and how alike they are (1: the same)."""

    first: int
    second: int
    likeness: float


def perceptual_hash(small: Float[np.ndarray, "64 64"]) -> int:
    """64 bits: which of the 64 lowest frequencies of the picture at 32 x 32, its mean apart, are above their median."""
    smaller = small.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    basis, (ys, xs) = _cosines()
    values = (basis @ smaller @ basis.T)[ys, xs]
    return int.from_bytes(np.packbits(values > np.median(values)).tobytes(), "big")


def sketch(small: Float[np.ndarray, "64 64"]) -> Int8[np.ndarray, " pixels"]:
    """The picture less the mean around each pixel, in steps of its own spread; 0 if it is all one value."""
    detail = small - _around(small)
    spread = detail.std()
    if spread <= 1e-6 * max(1.0, float(np.abs(small).max())):
        return np.zeros(SIDE * SIDE, np.int8)
    return np.rint(np.clip(detail / (spread * _SPREAD), -1.0, 1.0) * 127).astype(np.int8).ravel()


def averaged(image: Shaped[np.ndarray, "y x *channel"]) -> Float[np.ndarray, "64 64"]:
    """The picture in grey on 64 x 64 equal areas, whatever its proportions; cut pixels count by their share."""
    grey = image.reshape(*image.shape[:2], -1).astype(np.float64).mean(axis=2)
    return _parts(_parts(grey).T).T.astype(np.float32)


class Gallery:
    """Pictures and whose they are: 64 bits of each in memory, its sketch in a file that goes when it is closed.

    Those that are all one value are like no other, and left out.
    """

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.numbers: list[int] = []
        self._hashes: list[int] = []
        self._sketches = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it

    def close(self) -> None:
        """Give the file back; no pairs can be had any more."""
        self._sketches.close()

    def add(self, owner: str, image: Shaped[np.ndarray, "y x *channel"], number: int) -> None:
        """Take in a picture by its number; pictures of one owner are not compared with each other."""
        small = averaged(image)
        drawn = sketch(small)
        if not drawn.any():
            return
        self.owners.append(owner)
        self.numbers.append(number)
        self._hashes.append(perceptual_hash(small))
        self._sketches.write(drawn.tobytes())

    def pairs(self) -> Iterator[Alike]:
        """All near duplicates of different owners, by their places among `owners` and `numbers`."""
        if not self.owners:
            return
        self._sketches.flush()
        sketches = np.memmap(self._sketches, np.int8, "r", shape=(len(self.owners), SIDE * SIDE))
        codes = np.unique(self.owners, return_inverse=True)[1]
        for i, j in within(np.array(self._hashes, np.uint64), RADIUS, codes):
            step = _BLOCK // sketches.shape[1]
            for a, b in ((i[k : k + step], j[k : k + step]) for k in range(0, len(i), step)):
                likeness = _likeness(sketches[a], sketches[b])
                for place in np.flatnonzero(likeness >= ALIKE):
                    yield Alike(int(a[place]), int(b[place]), float(likeness[place]))


def clusters(pictures: Iterable[tuple[str, Shaped[np.ndarray, "y x *channel"]]]) -> dict[str, int]:
    """A number for each owner that owners of near duplicates share, and those that they share one with in turn.

    The numbers go by the first name of each cluster, so that the order of the pictures does not matter.
    """
    with contextlib.closing(Gallery()) as gallery:
        owners = []
        for number, (owner, image) in enumerate(pictures):
            gallery.add(owner, image, number)
            owners.append(owner)
        return joined(owners, ((gallery.owners[a], gallery.owners[b]) for a, b, _ in gallery.pairs()))


def joined(names: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The number of the connected part in which each name lies, parts counted by their first names."""
    root = {name: name for name in sorted(set(names))}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for a, b in links:
        first, second = sorted((find(a), find(b)))
        root[second] = first
    numbers: dict[str, int] = {}
    return {name: numbers.setdefault(find(name), len(numbers)) for name in root}


def within(
    hashes: UInt64[np.ndarray, " n"], radius: int, owners: Int[np.ndarray, " n"]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs i < j of different owners whose hashes differ in at most `radius` bits, each once, in blocks.

    Of `radius` + 1 bands of bits such a pair has at least one in common, so that only those are compared that share
    a band; the first that they share finds them.
    """
    bands = _bands(radius + 1)
    for number, band in enumerate(bands):
        keys = hashes & band
        order = np.argsort(keys, kind="stable")
        ends = [*(np.flatnonzero(np.diff(keys[order])) + 1), len(order)]
        for start, end in zip([0, *ends], ends, strict=False):
            bucket = order[start:end]
            bucket = bucket[np.argsort(owners[bucket], kind="stable")]
            yield from _within_bucket(hashes, owners, bucket, radius, bands[:number])


def _within_bucket(
    hashes: np.ndarray, owners: np.ndarray, bucket: np.ndarray, radius: int, earlier: list[np.uint64]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of a bucket, sorted by owners, that share no earlier band: rows with columns of later owners."""
    found, whose, rows = hashes[bucket], owners[bucket], max(1, _BLOCK // max(1, len(bucket)))
    for top in range(0, len(bucket), rows):
        next_owner = int(np.searchsorted(whose, whose[top], side="right"))
        apart = found[top : top + rows, None] ^ found[None, next_owner:]
        a, b = np.nonzero(np.bitwise_count(apart) <= radius)
        later = whose[next_owner + b] > whose[top + a]
        a, b = a[later], b[later]
        new = np.all([apart[a, b] & band != 0 for band in earlier], axis=0) if earlier else slice(None)
        i, j = bucket[top + a[new]], bucket[next_owner + b[new]]
        if len(i):
            yield np.minimum(i, j), np.maximum(i, j)


def _bands(count: int) -> list[np.uint64]:
    """Masks that share 64 bits out among `count` bands."""
    cuts = [round(64 * k / count) for k in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(cuts)]


def _likeness(a: Int8[np.ndarray, "n pixels"], b: Int8[np.ndarray, "n pixels"]) -> Float[np.ndarray, " n"]:
    """Cosines of sketches, the best of those with one moved by up to a pixel: a copy may be cropped a little."""
    first, second = (each.reshape(-1, SIDE, SIDE).astype(np.float32) for each in (a, b))
    overlaps = {
        -1: (slice(1, None), slice(None, -1)),
        0: (slice(None), slice(None)),
        1: (slice(None, -1), slice(1, None)),
    }
    best = np.full(len(a), -1.0, np.float32)
    for (y, moved_y), (x, moved_x) in itertools.product(overlaps.values(), repeat=2):
        p, q = first[:, y, x], second[:, moved_y, moved_x]
        length = np.sqrt(np.einsum("nyx,nyx->n", p, p) * np.einsum("nyx,nyx->n", q, q))
        best = np.maximum(best, np.einsum("nyx,nyx->n", p, q) / np.maximum(length, 1.0))
    return best


def _around(small: Float[np.ndarray, "64 64"]) -> Float[np.ndarray, "64 64"]:
    mean = _neighbours()
    return mean @ small @ mean.T


@functools.cache
def _neighbours() -> Float[np.ndarray, "64 64"]:
    """Takes the mean over a neighbourhood; at the rim, over what there is of it."""
    place = np.arange(SIDE)
    near = (np.abs(place[:, None] - place) <= NEIGHBOURHOOD // 2).astype(np.float32)
    return near / near.sum(axis=1, keepdims=True)


def _parts(rows: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "64 m"]:
    """The means of 64 equal parts of `n` rows: differences of their running sum, straight between two rows."""
    size = len(rows)
    ends = np.linspace(0, size, SIDE + 1)
    whole = np.minimum(ends.astype(int), size - 1)
    sums = np.concatenate([np.zeros_like(rows[:1]), np.cumsum(rows, axis=0)])[whole]
    return np.diff(sums + (ends - whole)[:, None] * rows[whole], axis=0) * (SIDE / size)


@functools.cache
def _cosines() -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The cosines of a transform of 32 values, and its 64 lowest pairs of frequencies after the mean."""
    place = np.arange(32)
    basis = np.cos(np.pi * (place[None, :] + 0.5) * place[:, None] / 32).astype(np.float32)
    pairs = sorted(((y, x) for y in range(32) for x in range(32)), key=lambda pair: (sum(pair), pair))[1:65]
    ys, xs = np.array(pairs).T
    return basis, (ys, xs)
