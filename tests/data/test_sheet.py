"""A contact sheet shows what is in the store: every view, other subjects, masks where they are, in true proportions."""

import dataclasses

import numpy as np
import pytest
import samples
from PIL import Image, ImageColor

from jaxssl.cli import main
from jaxssl.data.record import unplaced
from jaxssl.data.sheet import ACROSS, OUTLINES, TILE, border, rows_of, spread, tile, windowed
from jaxssl.data.store import write

ABOUT = {"name": "discs", "description": "Random (synthetic).", "licence": "none"}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_depth_and_size_makes_a_png(dtype, channels, tmp_path, capsys):
    records = samples.records(subjects=3, size=(7, 40), dtype=dtype, channels=channels)
    store = write(records, tmp_path / "s", **ABOUT, synthetic=True)
    assert main(["data", "info", str(store.path), "--sheet", str(tmp_path / "a.png")]) == 0
    told = capsys.readouterr()
    assert "The sheet is" in told.err
    assert "masks_by" not in told.out
    with Image.open(tmp_path / "a.png") as page:
        pixels = np.asarray(page.convert("RGB")).reshape(-1, 3)
    found = {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}
    assert {ImageColor.getrgb(colour) for colour in OUTLINES[:3]} <= found
    assert main(["data", "info", str(store.path), "--sheet", str(tmp_path / "a.jpg")]) == 2


def test_a_row_has_other_subjects_and_images_with_masks_from_the_middle(store):
    """The store of the data room: two views; every other subject has a group, two of them each."""
    rows = {row.title: [store.record(i) for i in row.indices] for row in rows_of(store)}
    assert set(rows) == {
        f"{view}{group}" for view in ("sax", "4ch") for group in ("", "\ngroup: normal", "\ngroup: dilated")
    }
    for title, records in rows.items():
        assert len({r.subject for r in records}) == len(records)
        assert all(r.view == title.partition("\n")[0] for r in records)
    assert [r.subject for r in rows["sax"]] == ["s1", "s3", "s5"]
    assert all(r.slice == 1 and r.mask is not None for title in rows if title.startswith("sax") for r in rows[title])


def test_more_subjects_than_places_are_spread(tmp_path):
    base = next(samples.records(subjects=1))
    records = [dataclasses.replace(base, subject=f"s{n:03d}", study=f"s{n:03d}") for n in range(50)]
    (row,) = rows_of(write(records, tmp_path / "s", **ABOUT))
    assert (len(row.indices), row.indices[0], row.indices[-1]) == (ACROSS, 0, 49)
    assert min(np.diff(row.indices)) >= 6


@pytest.mark.parametrize("count", [1, 599, 601, 30000])
def test_records_are_looked_at_evenly_whatever_their_period(count):
    places = spread(count, 600)
    assert len(set(places)) == len(places) <= 600
    assert len(places) >= 0.85 * min(count, 600)
    assert 0 <= min(places) <= max(places) < count
    for period in (12, 25, 300):
        if count > 600:
            within = np.bincount([place * 12 // count for place in places])
            assert within.min() >= 40
            assert len({place % period for place in places}) > 0.85 * min(period, 600)


def test_a_tile_has_the_proportions_of_the_patient_and_the_outline_of_the_mask():
    base = next(samples.records(subjects=1))
    image, mask = np.full((20, 30, 1), 50, np.uint8), np.zeros((20, 30), np.uint8)
    image[0, 0], mask[5:15, 10:20] = 0, 2
    plane = dataclasses.replace(samples.plane(20, 30, spacing=(3.0, 1.0)))
    picture = tile(dataclasses.replace(base, image=image, mask=mask, plane=plane))
    assert picture.size == (TILE // 2, TILE)
    yellow = (np.asarray(picture) == ImageColor.getrgb(OUTLINES[1])).all(axis=2)
    ys, xs = np.nonzero(yellow)
    # Rows 5 to 14 of 20 on 144 pixels, columns 10 to 19 of 30 on 72.
    np.testing.assert_allclose([ys.min(), ys.max(), xs.min(), xs.max()], [36, 107, 24, 47], atol=1)
    assert not yellow[50, 35]
    unknown = dataclasses.replace(base, image=image, mask=None, plane=unplaced((20, 30), None))
    assert tile(unknown).size == (TILE, 96)


def test_the_window_is_of_percentiles_and_survives_flat_images():
    ramp = np.arange(10000, dtype=np.uint16).reshape(100, 100)
    shown = windowed(ramp)
    assert (shown == 0).mean() == pytest.approx(0.012, abs=0.002)
    assert (shown == 255).mean() == pytest.approx(0.007, abs=0.002)
    assert (windowed(np.full((4, 4), 9, np.uint8)) == 0).all()
    spot = np.zeros((100, 100), np.uint8)
    spot[3, 3] = 200
    assert windowed(spot)[3, 3] == 255


def test_the_border_of_a_square_is_its_rim():
    inside = np.zeros((6, 6), bool)
    inside[1:5, 0:4] = True
    assert border(inside).sum() == 12
    assert not border(inside)[2:4, 1:3].any()
