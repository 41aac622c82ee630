"""The fan of ultrasound images whose true fan is known, and what is written round and into them."""

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw

from jaxssl.data.formats import Image, Unreadable
from jaxssl.data.formats.fan import cleaned, fan_of
from jaxssl.data.formats.image import Box
from jaxssl.data.phantom.ultrasound.population import draw_fetus, draw_scan
from jaxssl.data.phantom.ultrasound.probe import Sector
from jaxssl.data.phantom.ultrasound.study import UltrasoundOptions, _frames

HEIGHT, WIDTH = 300, 400


def sector(opening: float = 0.7, near: float = 0.0) -> np.ndarray:
    """Where the pixels of a curved probe's fan lie, in the middle of a larger screen."""
    inside = Sector(radius=40.0, near=near, far=120.0, half_angle=opening).pixel_beams()[2]
    screen = np.zeros((HEIGHT, WIDTH), bool)
    screen[30:270, 40:360] = inside
    return screen


def rectangle() -> np.ndarray:
    screen = np.zeros((HEIGHT, WIDTH), bool)
    screen[40:250, 90:330] = True
    return screen


def clip(fan: np.ndarray, frames: int, background: int = 0, seed: int = 0) -> np.ndarray:
    """Speckle that changes from frame to frame and fades with depth, [frame, y, x, 1]."""
    rng = np.random.default_rng(seed)
    depth = np.linspace(1, 0.25, HEIGHT)[:, None]
    speckle = rng.rayleigh(55, (frames, HEIGHT, WIDTH)) * depth + background
    return np.where(fan, np.clip(speckle, 0, 230), background).astype(np.uint8)[..., None]


def written(pixels: np.ndarray, texts: list[tuple[int, int, str]], value: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Frames with writing at (x, y), and which pixels that changed."""
    drawing = Picture.new("L", (WIDTH, HEIGHT))
    for x, y, text in texts:
        ImageDraw.Draw(drawing).text((x, y), text, fill=255, font_size=14)
    ink = np.array(drawing) > 127
    return np.where(ink[..., None], np.uint8(value), pixels), ink


AROUND = [(4, 4, "ADA HUSHNAME  1901-02-03"), (5, 280, "HUSHHOSPITAL  MI 1.1"), (340, 60, "0"), (352, 270, "12 cm")]


def images(frames: np.ndarray) -> list[Image]:
    return [Image(each, None, frame=n, ultrasound=True) for n, each in enumerate(frames)]


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union."""
    return (found & wanted).sum() / (found | wanted).sum()


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("background", [0, 20])
@pytest.mark.parametrize("shape", ["curved", "narrow", "phased", "linear"])
def test_a_fan_is_found_among_writing(shape, background, frames):
    fan = {
        "curved": sector(),
        "narrow": sector(0.4),
        "phased": sector(0.7, near=60.0),
        "linear": rectangle(),
    }[shape]
    shown, ink = written(clip(fan, frames, background), AROUND)
    shown[:, 60:240, 392:396] = np.linspace(255, 0, 180, dtype=np.uint8)[:, None, None]  # a grey scale
    found = fan_of(shown)
    # What is convex covers the hollow under a curved probe too, which is dark.
    hollow = fan if shape == "linear" else fan | _hollow(fan)
    assert overlap(found, hollow) > 0.97
    assert (found & fan).sum() > 0.985 * fan.sum()
    assert not (found & ink & ~fan).any()


def _hollow(fan: np.ndarray) -> np.ndarray:
    """Between the ends of a curved probe: above the fan's middle, below the line between its upper corners."""
    rows = np.flatnonzero(fan.any(axis=1))
    hollow = np.zeros_like(fan)
    for row in rows:
        columns = np.flatnonzero(fan[row])
        hollow[row, columns[0] : columns[-1] + 1] = True
    return hollow & ~fan


def test_nothing_in_the_fan_changes_and_all_else_is_0():
    fan = rectangle()
    shown, ink = written(clip(fan, 3), AROUND)
    for before, after in zip(shown, cleaned(images(shown)), strict=True):
        np.testing.assert_array_equal(after.pixels[fan], before[fan])
        assert not after.pixels[~fan].any()
        assert before[ink].any()


def test_writing_across_the_border_goes_in_both_parts():
    fan = rectangle()
    shown, ink = written(clip(fan, 1), [(85, 120, "+"), (325, 140, "H")])
    (after,) = cleaned(images(shown))
    assert min((ink & fan).sum(), (ink & ~fan).sum()) > 10
    assert not after.pixels[ink].any()
    np.testing.assert_array_equal(after.pixels[fan & ~ink], shown[0][fan & ~ink])


def test_writing_that_stands_still_in_a_clip_goes_and_echoes_stay():
    fan = sector()
    shown, ink = written(clip(fan, 8), [(180, 150, "HUSH 12.3 mm")])
    shown[:, 200:230, 190:230] = 255  # saturated tissue stands still too
    after = np.stack([image.pixels for image in cleaned(images(shown))])
    assert (after[:, ink] == 0).mean() > 0.95
    kept = fan & ~ink & fan_of(shown)
    assert (after[:, kept] == shown[:, kept]).mean() > 0.999
    assert (after[:, 200:230, 190:230] == 255).all()


def test_a_single_image_keeps_what_is_written_in_it():
    """It is not known from tissue there; the docstring says so."""
    fan = sector()
    shown, ink = written(clip(fan, 1), [(180, 150, "HUSH")])
    (after,) = cleaned(images(shown))
    assert (after.pixels[ink] == 255).all()


def test_named_regions_hold_all_echoes():
    fan = rectangle()
    shown = clip(fan, 1)
    shown[:, 5:35, 90:330] = 200  # a banner over the image
    assert fan_of(shown)[5:35, 90:330].all()
    found = fan_of(shown, [Box(40, 90, 250, 330)])
    np.testing.assert_array_equal(found, fan)
    (after,) = cleaned([images(shown)[0]._replace(echoes=(Box(40, 90, 250, 330),))])
    assert not after.pixels[5:35].any()


def noisy(shown: np.ndarray, kind: str) -> np.ndarray:
    """With what an amplifier or a compression adds everywhere."""
    name, strength = kind.rsplit(" ", 1)
    rng, size = np.random.default_rng(1), float(strength)
    noise = rng.integers(0, int(size) + 1, shown.shape) if name == "up to" else rng.normal(0, size, shown.shape)
    return np.clip(np.rint(shown + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["up to 2", "up to 3", "up to 5", "spread 1", "spread 2"])
@pytest.mark.parametrize("background", [0, 20])
def test_writing_on_a_noisy_background_goes(kind, background):
    fan = sector()
    shown, ink = written(clip(fan, 1, background), AROUND)
    (after,) = cleaned(images(noisy(shown, kind)))
    assert ink[~fan].sum() > 500
    assert not after.pixels[ink & ~fan].any()
    assert (after.pixels[fan | _hollow(fan)] > 0).mean() > 0.93


def test_an_image_without_a_background_is_kept_whole_unless_a_scanner_may_have_written_in_it():
    shown = clip(np.ones((HEIGHT, WIDTH), bool), 1)
    (still,) = images(shown)
    np.testing.assert_array_equal(cleaned([still._replace(ultrasound=False)])[0].pixels, shown[0])
    assert fan_of(np.zeros((1, 20, 30, 1), np.uint8)).all()
    everywhere = still._replace(echoes=(Box(0, 0, HEIGHT, WIDTH),))
    for image in (still, everywhere, still._replace(pixels=np.zeros((20, 30, 1), np.uint8))):
        with pytest.raises(Unreadable, match="its fan was not found, so that text in it would stay"):
            cleaned([image])


@pytest.mark.parametrize("kind", ["up to 0", "up to 7", "up to 12", "spread 3"])
def test_writing_alone_is_no_fan(kind):
    shown, _ = written(np.zeros((1, HEIGHT, WIDTH, 1), np.uint8), AROUND)
    with pytest.raises(Unreadable, match="its fan was not found"):
        cleaned(images(noisy(shown, kind)))


def test_a_background_that_grows_brighter_is_no_fan():
    shown, _ = written(clip(sector(), 1), AROUND)
    brighter = np.linspace(0, 80, WIDTH)[:, None]
    with pytest.raises(Unreadable, match="its fan was not found"):
        cleaned(images(np.clip(shown + brighter, 0, 255).astype(np.uint8)))


def test_where_no_fan_is_found_the_named_regions_are_what_stays():
    shown = np.random.default_rng(0).integers(0, 40, (1, HEIGHT, WIDTH, 1)).astype(np.uint8)
    shown[0, 100, 200] = 60  # the one that is bright enough to be of writing
    box = Box(40, 90, 250, 330)
    (after,) = cleaned([images(shown)[0]._replace(echoes=(box,))])
    np.testing.assert_array_equal(after.pixels, np.where(rectangle()[..., None], shown[0], 0))


def test_colours_and_16_bits_are_taken_as_they_are():
    fan = rectangle()
    shown, _ = written(clip(fan, 1), AROUND)
    colours, deep = np.repeat(shown, 3, -1), shown.astype(np.uint16) * 200
    for kind in (colours, deep):
        (after,) = cleaned(images(kind))
        assert after.pixels.dtype == kind.dtype
        np.testing.assert_array_equal(after.pixels, np.where(fan[..., None], kind[0], 0))


def test_the_fan_of_the_phantom():
    """Nothing that shows is lost, writing beside the fan is."""
    fetus, scan = draw_fetus(3, 0), draw_scan(3, 0, 0)
    for view in ("transthalamic", "four_chamber"):
        (record,) = _frames(UltrasoundOptions(seed=3), 0, 0, fetus, scan, view)
        shown = record.image
        fan = fan_of([shown])
        assert shown[~fan].astype(float).sum() < 2e-3 * shown.astype(float).sum()
        screen = np.pad(shown, ((30, 30), (40, 40), (0, 0)))
        screen, ink = written(screen[None], [(4, 4, "ADA HUSHNAME 1901-02-03"), (5, 280, "HUSHHOSPITAL")])
        (after,) = cleaned([Image(screen[0], None)])
        assert not after.pixels[ink].any()
        assert (after.pixels[30:-30, 40:-40] == shown).mean() > 0.99
