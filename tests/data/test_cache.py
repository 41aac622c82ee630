"""What training reads is what the store holds, on another grid whose geometry is known exactly."""

import dataclasses
import shutil

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from jaxssl import geometry
from jaxssl.data import grid
from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.columns import FIELDS
from jaxssl.data.grid import Axis, Layout
from jaxssl.data.record import unplaced
from jaxssl.data.store import Store, open_store, write
from jaxssl.errors import UserError

sizes = st.integers(1, 40)


def dice(a: np.ndarray, b: np.ndarray, code: int) -> float:
    return 2 * ((a == code) & (b == code)).sum() / ((a == code).sum() + (b == code).sum())


# The grid: one axis, one image.


@given(source=sizes, count=sizes)
def test_at_equal_spacing_pixels_are_moved_not_changed(source, count):
    image = np.random.default_rng(0).integers(0, 65536, (source, 3, 2)).astype(np.uint16)
    own = grid.on(Layout((count, 3), None), image.shape[:2], (0.7, 2.0))
    start = int(own.y.offset)
    padded = np.zeros((source + 2 * count, 3, 2), np.uint16)
    padded[count : count + source] = image
    np.testing.assert_array_equal(
        grid.round_to(own.image(image, "cubic"), image.dtype), padded[count + start : 2 * count + start]
    )
    # Centred: what is cut or padded differs by at most one pixel between the two sides.
    assert abs((source - count - start) - start) <= 1


@given(height=sizes, width=sizes, size=st.tuples(sizes, sizes))
def test_masks_return_exactly_at_equal_spacing(height, width, size):
    mask = np.random.default_rng(height).integers(0, 4, (height, width)).astype(np.uint8)
    own = grid.on(Layout(size, 1.5), mask.shape, (1.5, 1.5))
    there = own.labels(mask)
    assert there.dtype == np.uint8
    inside = own.back().labels(np.ones(size, np.uint8)).astype(bool)
    assert inside.sum() == min(height, size[0]) * min(width, size[1])
    np.testing.assert_array_equal(own.back().labels(there), np.where(inside, mask, 0))


@pytest.mark.parametrize("spacing", [(0.7, 0.9), (1.1, 1.25), (1.9, 1.4)])
def test_discs_survive_the_way_there_and_back(spacing):
    mask = samples.disc(150, 140, centre=(0.55, 0.42))
    own = grid.on(Layout((300, 300), 1.0), mask.shape, spacing)
    there = own.labels(mask)
    back = own.back().labels(there)
    probabilities = own.back().image(np.eye(4)[there], "linear")
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-9)
    for code in (1, 2, 3):
        assert dice(back, mask, code) > 0.97
        assert dice(probabilities.argmax(-1), mask, code) > 0.97


def test_probabilities_outside_the_cached_grid_are_background():
    own = grid.on(Layout((10, 10), 1.0), (30, 30), (1.0, 1.0))
    back = own.back().image(np.full((10, 10, 3), 1 / 3), "linear")
    np.testing.assert_allclose(back[10:20, 10:20], 1 / 3)
    back[10:20, 10:20] = 0
    assert not back.any()


@pytest.mark.parametrize("kernel", ["linear", "cubic"])
@given(source=st.integers(12, 40), count=st.integers(12, 40), step=st.floats(0.4, 1.0))
def test_a_ramp_stays_a_ramp(kernel, source, count, step):
    axis = Axis.centred(source, count, step)
    there = grid.weights(axis, kernel) @ np.arange(source)
    u = axis.coordinates()
    inner = (u >= 2) & (u <= source - 3)
    np.testing.assert_allclose(there[inner], u[inner], atol=1e-9)


@given(source=sizes, count=sizes, step=st.floats(0.2, 5.0))
def test_weights_sum_to_one_inside_and_to_zero_outside(source, count, step):
    axis = Axis.centred(source, count, step)
    u = axis.coordinates()
    inside = (u >= -0.5) & (u < source - 0.5)
    for kernel in ("linear", "cubic"):
        np.testing.assert_allclose(grid.weights(axis, kernel).sum(1), inside, atol=1e-9)


def test_axes_share_their_centre_and_back_is_the_inverse():
    axis = Axis.centred(101, 64, 1.7)
    assert axis.coordinates().mean() == pytest.approx(50)
    back = axis.back()
    np.testing.assert_allclose(back.offset + back.step * axis.coordinates(), np.arange(64), atol=1e-12)


def test_overshoot_is_cut_not_wrapped():
    image = np.zeros((8, 8, 1), np.uint8)
    image[:, 4:] = 255
    own = grid.on(Layout((8, 40), 0.2), image.shape[:2], (0.2, 1.0))
    exact = own.image(image, "cubic")
    assert exact.min() < -5  # the kernel does overshoot here
    assert exact.max() > 260
    row = grid.round_to(exact, image.dtype)[4, :, 0].astype(int)
    assert (row[:18] <= 20).all()
    assert (row[22:] >= 235).all()


def test_coarser_grids_average_fine_stripes():
    image = np.zeros((64, 64, 1), np.uint8)
    image[:, ::2] = 200
    own = grid.on(Layout((20, 20), 3.0), image.shape[:2], (1.0, 1.0))
    centre = own.image(image, "cubic")[5:15, 5:15]
    np.testing.assert_allclose(centre, 100, atol=6)


@pytest.mark.parametrize(("size", "spacing"), [((0, 8), 1.0), ((8, 8), 0.0), ((8, 8), float("nan"))])
def test_impossible_layouts_are_refused(store: Store, size, spacing):
    with pytest.raises(UserError, match="impossible"):
        open_cache(store, Layout(size, spacing))


# The cache of a store.


def test_a_cached_pixel_lies_where_it_lay(tmp_path, about):
    """Intensities linear in patient space are still the same function of it, in oblique anisotropic images."""
    slope = np.array([31.0, -22.0, 57.0])

    def scene(plane):
        return 30000 + (geometry.points(plane) - plane.origin.round()) @ slope

    planes = [samples.plane(60, 70, (1.0, 1.3)), samples.plane(50, 90, (1.4, 0.8), depth=8)]
    records = [
        dataclasses.replace(
            record,
            image=np.rint(scene(plane))[..., None].astype(np.uint16),
            plane=plane,
            mask=None,
            slice=i,
        )
        for i, (record, plane) in enumerate(zip(samples.records(), planes, strict=False))
    ]
    cache = open_cache(write(records, tmp_path / "a", **about), Layout((40, 48), 0.75))
    for row, plane in enumerate(planes):
        own = geometry.Plane(**{key: cache.table[key][row] for key in FIELDS})
        expected = 30000 + (geometry.points(own) - plane.origin.round()) @ slope
        np.testing.assert_allclose(cache.images[row, 2:-2, 2:-2, 0], expected[2:-2, 2:-2], atol=1.01)
        np.testing.assert_allclose(own.spacing, 0.75)
        np.testing.assert_array_equal(own.shape, (40, 48))


@pytest.mark.parametrize(("height", "width"), [(60, 90), (97, 31), (24, 40)])
def test_an_image_of_unknown_spacing_just_fits_in(tmp_path, about, height, width):
    """What is drawn stays round, the longer side fills the layout, and masks come back."""
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    disc = (np.hypot(y, x) < 0.4 * min(height, width)).astype(np.uint8)
    record = dataclasses.replace(
        next(samples.records()), image=disc[..., None] * 200, mask=disc, plane=unplaced(disc.shape, None)
    )
    cache = open_cache(write([record], tmp_path / "a", **about), Layout((48, 48), 1.5))
    scale = 48 / max(height, width)
    assert cache.masks is not None
    assert cache.masks[0].any(1).sum() == pytest.approx(cache.masks[0].any(0).sum(), abs=1.01)
    assert cache.masks[0].sum() == pytest.approx(disc.sum() * scale**2, rel=0.05)
    back = cache.to_original(0, cache.masks[0])
    assert (back != disc).sum() <= np.ceil(1 / scale) * 2 * (y.shape[0] + y.shape[1])
    assert 2 * (back & disc).sum() / (back.sum() + disc.sum()) > 0.95
    assert np.isnan(cache.table["spacing"][0]).all()


def test_a_stack_of_unknown_order_has_slices_without_position(tmp_path, about):
    records = [dataclasses.replace(r, ordered=False) for r in samples.records(subjects=1, slices=3, phases=1)]
    cache = open_cache(write(records, tmp_path / "a", **about), Layout((8, 8)))
    assert np.isnan(cache.table["position"]).all()
    assert sorted(cache.table["slice"]) == [0, 0, 1, 2]


def test_depth_and_channels_are_kept(tmp_path, about):
    given = list(samples.records(2, size=(16, 16), dtype="uint16", channels=3))
    cache = open_cache(write(given, tmp_path / "a", **about), Layout((16, 16), None))
    assert cache.images.dtype == np.uint16
    assert cache.images.shape == (len(given), 16, 16, 3)
    for row in range(16):
        np.testing.assert_array_equal(cache.images[row], given[row].image)


def test_the_table_says_what_the_records_say(cache: Cache, store: Store):
    assert len(cache) == len(store) == 96
    for row in range(0, 96, 5):
        record = store.record(row)
        own = {key: column[row] for key, column in cache.table.items()}
        for key in ("subject", "study", "view", "moment"):
            assert cache.names[key][own[key]] == getattr(record, key)
        assert (own["slice"], own["slices"]) == (record.slice, record.slices)
        np.testing.assert_equal(float(own["position"]), record.position)
        assert own["phase"] == record.phase / record.phases
        assert own["thickness"] == record.thickness
        assert own["has_mask"] == (record.mask is not None)
        known = record.labels.get("group")
        assert own["label/group"] == (-1 if known is None else cache.names["label/group"].index(known))


def test_masks_are_there_where_they_were_given(cache: Cache, store: Store):
    assert cache.masks is not None
    for row in (0, 1, 2, 12):
        mask, back = store.record(row).mask, cache.to_original(row, cache.masks[row])
        assert back.shape == store.record(row).image.shape[:2]
        np.testing.assert_array_equal(back, 0 if mask is None else mask)


def test_statistics_are_of_the_subject_alone(cache: Cache, store: Store):
    records = list(store.records())
    for subject in {record.subject for record in records}:
        pixels = np.concatenate([record.image.ravel() for record in records if record.subject == subject])
        rows = [row for row, record in enumerate(records) if record.subject == subject]
        np.testing.assert_allclose(cache.table["mean"][rows], pixels.mean(), rtol=1e-6)
        np.testing.assert_allclose(cache.table["std"][rows], pixels.std(), rtol=1e-6)


def test_a_subject_without_contrast_has_standard_deviation_one(tmp_path, about):
    record = next(samples.records())
    flat = dataclasses.replace(record, image=np.full_like(record.image, 9))
    cache = open_cache(write([flat], tmp_path / "a", **about), Layout((8, 8)))
    assert (cache.table["mean"][0], cache.table["std"][0]) == (9, 1)


def test_a_cache_is_made_once(tmp_path, about):
    store = write(samples.records(1), tmp_path / "a", **about)
    calls = []
    first = open_cache(store, Layout((8, 8)), lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, 16) for i in range(16)]
    again = open_cache(open_store(tmp_path / "a"), Layout((8, 8)), lambda *_: pytest.fail("made again"))
    np.testing.assert_array_equal(first.images, again.images)
    other = open_cache(store, Layout((8, 10)), lambda done, total: calls.append((done, total)))
    assert len(calls) == 32
    assert other.path != first.path


def test_a_cache_of_other_contents_or_a_broken_one_is_made_again(tmp_path, about):
    layout = Layout((24, 24), 1.5)
    old = open_cache(write(samples.records(1), tmp_path / "a", **about), layout)
    new = write(samples.records(1, seed=1), tmp_path / "b", **about)
    shutil.copytree(old.path, new.path / ".cache" / old.path.name)
    cache = open_cache(new, layout)
    assert cache.fingerprint == new.fingerprint
    np.testing.assert_array_equal(cache.to_original(0, cache.images[0, ..., 0]), new.record(0).image[..., 0])
    expected = cache.images.copy()
    for name in ("images.npy", "table.npz", "cache.json"):
        file = cache.path / name
        file.write_bytes(file.read_bytes()[:-1])
        calls: list[int] = []
        again = open_cache(new, layout, lambda done, total, calls=calls: calls.append(done))
        np.testing.assert_array_equal(again.images, expected)
        assert len(calls) == 16


def test_two_that_make_the_same_cache_do_not_collide(tmp_path, about):
    store = write(samples.records(1), tmp_path / "a", **about)
    first = []

    def meanwhile(done, total):
        if done == total:
            first.append(open_cache(store, Layout((8, 8))))

    second = open_cache(store, Layout((8, 8)), meanwhile)
    np.testing.assert_array_equal(first[0].images, second.images)
    assert list((store.path / ".cache").iterdir()) == [second.path]


def test_nothing_is_left_of_a_cache_that_fails(tmp_path, about):
    store = write(samples.records(1), tmp_path / "a", **about)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_cache(store, Layout(), stop)
    assert list((store.path / ".cache").iterdir()) == []


def test_a_store_that_cannot_be_written_to_is_refused(tmp_path, about):
    store = write(samples.records(1), tmp_path / "a", **about)
    (store.path / ".cache").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        open_cache(store, Layout())
