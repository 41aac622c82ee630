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
_BLOCK = 1 << 20
"""Hashes compared, and bytes of sketches, at a time."""
BANDS, NEAR = 4, 2
"""Least number of bands of bits by which candidates are looked up, of 16 bits at most, and most bits in which they
differ there: few enough to try them all, and of hashes at random 1 in 120 shares a band so."""


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
        candidates = within(np.array(self._hashes, np.uint64), RADIUS, codes)
        for a, b in _batches(candidates, _BLOCK // sketches.shape[1]):
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

    In one of k bands of bits such a pair differs in at most radius / k: only those are compared that lie so near in a
    band; the first band in which they do finds them.
    """
    bands = _bands(max(BANDS, radius // (NEAR + 1) + 1))
    flips = radius // len(bands)
    for number, (low, high) in enumerate(bands):
        keys = (hashes >> np.uint64(low) & np.uint64((1 << high - low) - 1)).astype(np.int64)
        order = np.lexsort((owners, keys))
        earlier = [np.uint64((1 << top) - (1 << bottom)) for bottom, top in bands[:number]]
        for a, b in _near_in_band(keys[order], owners[order], high - low, flips):
            apart = hashes[order[a]] ^ hashes[order[b]]
            found = np.bitwise_count(apart) <= radius
            for band in earlier:
                found &= np.bitwise_count(apart & band) > flips
            i, j = order[a[found]], order[b[found]]
            if len(i):
                yield np.minimum(i, j), np.maximum(i, j)


def _near_in_band(
    keys: Int[np.ndarray, " n"], owners: Int[np.ndarray, " n"], width: int, flips: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of different owners whose keys differ in at most `flips` bits, each two once.

    Both are sorted by key, then owner.
    """
    starts = np.searchsorted(keys, np.arange((1 << width) + 1))
    own_ends = np.append(np.flatnonzero(np.diff(keys) | np.diff(owners)) + 1, len(keys))
    for flip in _flips(width, flips):
        # Of each two keys the one without the highest of the flipped bits looks for the other.
        asking = np.flatnonzero(keys & (1 << flip.bit_length() >> 1) == 0)
        wanted = keys[asking] ^ flip
        first, end = starts[wanted], starts[wanted + 1]
        if not flip:
            first = own_ends[np.searchsorted(own_ends, asking, side="right")]
        else:  # of a long clip the frames are in few buckets, with nobody else
            own, last = owners[asking], len(owners) - 1
            end = np.where((owners[np.minimum(first, last)] == own) & (owners[end - 1] == own), first, end)
        for a, b in _ranges(asking, first, end):
            others = owners[a] != owners[b]
            yield a[others], b[others]


def _ranges(asking: np.ndarray, first: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each of `asking` with all places from `first` to before `end`, in blocks."""
    counts = end - first
    asking, first, counts = (each[counts > 0] for each in (asking, first, counts))
    blocks = np.flatnonzero(np.diff(np.cumsum(counts) // _BLOCK)) + 1
    for a, start, count in zip(*(np.split(each, blocks) for each in (asking, first, counts)), strict=True):
        begun = np.cumsum(count) - count
        yield np.repeat(a, count), np.arange(count.sum()) + np.repeat(start - begun, count)


def _bands(count: int) -> list[tuple[int, int]]:
    """From which to before which bit each of `count` bands of 64 bits reaches."""
    return list(itertools.pairwise(round(64 * k / count) for k in range(count + 1)))


def _flips(width: int, most: int) -> list[int]:
    """All numbers of `width` bits of which at most so many are set."""
    chosen = (bits for count in range(most + 1) for bits in itertools.combinations(range(width), count))
    return [sum(1 << bit for bit in bits) for bits in chosen]


def _batches(pairs: Iterable[tuple[np.ndarray, np.ndarray]], size: int) -> Iterator[np.ndarray]:
    """Blocks of pairs, as they come, in blocks of `size`; the last may have fewer."""
    left = np.empty((2, 0), np.int64)
    for pair in pairs:
        left = np.concatenate([left, np.stack(pair)], axis=1)
        whole = left.shape[1] // size * size
        yield from np.split(left[:, :whole], range(size, whole, size), axis=1) if whole else ()
        left = left[:, whole:]
    if left.size:
        yield left


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
