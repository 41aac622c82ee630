"""Copies are found whatever was done to their size and brightness, others are not, and no pair is missed or twice."""

import csv
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from jaxssl.data.duplicates import Gallery, averaged, clusters, joined, perceptual_hash, within
from jaxssl.data.phantom.cine import CineOptions, cine_phantom


def picture(seed: int, size=(120, 150)) -> np.ndarray:
    """Blurred noise with detail of some pixels."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=size), 6) * 6 + gaussian_filter(rng.normal(size=size), 2)
    return np.clip(128 + 100 * field, 0, 255).astype(np.uint8)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


COPIES = {
    "smaller": lambda x: resized(x, 101, 83),
    "larger, other proportions": lambda x: resized(x, 256, 256),
    "darker": lambda x: (x * 0.6 + 10).astype(np.uint8),
    "16 bits": lambda x: x.astype(np.uint16) * 40,
    "gamma": lambda x: (255 * (x / 255.0) ** 1.2).astype(np.uint8),
    "noise": lambda x: np.clip(x + np.random.default_rng(0).normal(0, 4, x.shape), 0, 255).astype(np.uint8),
    "letters": lambda x: np.where(np.add.outer(abs(np.arange(120) - 60), np.arange(150) % 9) < 4, 255, x),
    "cropped by 4 pixels on the left and 6 below": lambda x: x[:-6, 4:],
    "three channels": lambda x: np.repeat(x[..., None], 3, axis=2),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_and_only_the_copy(change):
    originals = [(f"p{seed}", picture(seed)) for seed in range(12)]
    numbers = clusters([*originals, ("copy", COPIES[change](picture(5)))])
    assert numbers["copy"] == numbers["p5"]
    assert len(set(numbers.values())) == 12


def test_numbers_do_not_depend_on_the_order():
    pictures = [("d", picture(1)), ("a", picture(2)), ("c", picture(1)), ("b", picture(3))]
    assert clusters(pictures) == clusters(pictures[::-1]) == {"a": 0, "b": 1, "c": 2, "d": 2}
    assert clusters([]) == {}


def test_pictures_of_one_owner_and_flat_ones_are_not_compared():
    with closing(Gallery()) as gallery:
        for number, owner in enumerate(("a", "a", "b")):
            gallery.add(owner, picture(0), 2 * number)
            gallery.add(owner, np.full((30, 40), 7, np.uint8), 2 * number + 1)
        found = [(gallery.numbers[pair.first], gallery.numbers[pair.second]) for pair in gallery.pairs()]
    assert gallery.numbers == [0, 2, 4]
    assert sorted(found) == [(0, 4), (2, 4)]


def test_black_images_and_long_clips_of_one_owner_cost_nothing(monkeypatch):
    """What is compared is counted: of n black images no pair, nor of n frames that are almost the same."""
    compared, count = [], np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda apart: compared.append(apart.size) or count(apart))
    with closing(Gallery()) as gallery:
        for number in range(300):
            gallery.add(f"p{number}", np.zeros((30, 40), np.uint8), number)
            gallery.add("clip", picture(0) + np.uint8(number % 3), number)
        assert list(gallery.pairs()) == []
    assert sum(compared) == 0


def test_the_average_over_areas_is_that_of_pixels_cut_in_parts():
    """Each pixel repeated 64 times a side makes areas whole numbers of parts."""
    image = np.random.default_rng(0).integers(0, 255, (5, 70)).astype(np.uint8)
    parts = np.repeat(np.repeat(image.astype(np.float64), 64, 0), 64, 1)
    expected = parts.reshape(64, 5, 64, 70).mean(axis=(1, 3))
    np.testing.assert_allclose(averaged(image), expected, rtol=1e-5)


def test_the_hash_is_of_the_cosine_transform():
    small = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    table = dctn(small.reshape(32, 2, 32, 2).mean(axis=(1, 3)).astype(np.float64), type=2)
    places = sorted(((y, x) for y in range(32) for x in range(32)), key=lambda p: (p[0] + p[1], p))[1:65]
    values = np.array([table[place] for place in places])
    bits = "".join("1" if value > np.median(values) else "0" for value in values)
    assert perceptual_hash(small) == int(bits, 2)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    radius=st.integers(0, 20),
    flips=st.integers(0, 24),
    people=st.integers(1, 60),
)
def test_every_pair_within_the_radius_is_found_once(seed, count, radius, flips, people):
    """Against all pairs; hashes lie in crowds about a few centres, where bands are shared by many."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, 3, dtype=np.uint64)
    masks = [sum(1 << int(b) for b in rng.choice(64, rng.integers(0, flips + 1), replace=False)) for _ in range(count)]
    hashes = centres[rng.integers(0, 3, count)] ^ np.array(masks, np.uint64)
    owners = rng.integers(0, people, count)
    found = [(int(a), int(b)) for i, j in within(hashes, radius, owners) for a, b in zip(i, j, strict=True)]
    expected = [
        (a, b)
        for a in range(count)
        for b in range(a + 1, count)
        if owners[a] != owners[b] and (int(hashes[a]) ^ int(hashes[b])).bit_count() <= radius
    ]
    assert sorted(found) == expected


def test_of_many_hashes_few_are_compared(monkeypatch):
    """Of 20,000 random hashes few pairs; each band of six bits would meet one in six."""
    compared, count = [], np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda apart: compared.append(apart.size) or count(apart))
    hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    hashes[7] = hashes[19_000] ^ np.uint64(0b11001_00000000_00110001_10000000_00100000_00001000)
    found = [(a, b) for i, j in within(hashes, 10, np.arange(len(hashes))) for a, b in zip(i, j, strict=True)]
    assert (7, 19_000) in found
    assert sum(compared) < len(hashes) ** 2 / 2 / 40


def test_crowded_bands_are_compared_in_blocks(monkeypatch):
    monkeypatch.setattr("jaxssl.data.duplicates._BLOCK", 50)
    hashes = np.array([5] * 40 + [7] * 3, np.uint64)
    assert sum(len(i) for i, _ in within(hashes, 1, np.arange(43))) == 43 * 42 // 2
    assert sum(len(i) for i, _ in within(hashes, 1, np.arange(43) % 2)) == 22 * 21


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=12))
def test_joined_is_the_closure_of_the_links(links):
    numbers = joined("abcdefgh", links)
    reach = {name: {name} for name in "abcdefgh"}
    for _ in range(8):
        for a, b in links:
            reach[a] = reach[b] = reach[a] | reach[b]
    assert {(a, b) for a in reach for b in reach if b in reach[a]} <= {
        (a, b) for a in numbers for b in numbers if numbers[a] == numbers[b]
    }
    assert list(numbers) == sorted(numbers)
    parts = {frozenset(n for n in numbers if numbers[n] == k) for k in numbers.values()}
    assert all(any(len(part) == 1 or {a, b} <= part for a, b in links) for part in parts if len(part) > 1)
    assert numbers["a"] == 0


def test_hearts_of_different_phantoms_are_not_called_copies():
    numbers = clusters((r.subject, r.image) for r in cine_phantom(CineOptions(subjects=4, phases=1, slices=4)))
    assert sorted(numbers.values()) == list(range(4))


@pytest.mark.skipif("JAXSSL_DATA" not in os.environ, reason="JAXSSL_DATA names no folder of samples")
def test_each_breast_image_that_comes_twice_is_found():
    folder = Path(os.environ["JAXSSL_DATA"]) / "busi"
    with (folder / "busi.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)]
    numbers = clusters((name, np.asarray(Image.open(folder / name).convert("L"))) for name in names)
    pairs = [name for name in names if name.startswith("pairs/")]
    assert len(pairs) == 100
    assert all(numbers[name] == numbers[name.replace("pairs/", "images/")] for name in pairs)
    # Few images chain together: the largest group known is a handful of frames of one examination.
    assert max(np.bincount(list(numbers.values()))) <= 12
