"""A contact sheet: a few images of each view and label of a store on one page, so that one can see what went in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxssl.data.record import Record
from jaxssl.data.store import Store

TILE, CAPTION, MARGIN, HEADER = 144, 16, 6, 150
ACROSS, DOWN = 8, 24
LOOKED_AT = 600
"""Records among which those of the sheet are chosen."""
WINDOW = (1.0, 99.5)
PAPER, INK, MUTED = (21, 24, 27), (232, 230, 225), (160, 168, 175)
OUTLINES = ("#46a6ef", "#f4d63f", "#ef5b2e", "#35c49a", "#e08ac9", "#f2f2f2")
"""As in a report, by class."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
GOLDEN = (5**0.5 - 1) / 2


class Choice(NamedTuple):
    """A record that may stand for its subject in a row; the lowest stands."""

    unmasked: bool
    from_middle: float
    index: int


@dataclass(frozen=True)
class Row:
    """The records of a view (and a value of the label), each of another subject as far as there are some."""

    title: str
    indices: tuple[int, ...]


def sheet(store: Store) -> Image.Image:
    """The page: a row a view and label, subjects across, masks outlined."""
    rows = rows_of(store)
    small, bold = ImageFont.load_default(11), ImageFont.load_default(14)
    top = 64
    size = (HEADER + ACROSS * (TILE + MARGIN) + MARGIN, top + len(rows) * (TILE + CAPTION + MARGIN) + MARGIN)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    info = store.info
    made_up = " (synthetic)" if info.synthetic else ""
    draw.text((MARGIN, 6), f"{info.name}{made_up}: {info.records} images of {info.subjects} subjects", INK, bold)
    draw.text(
        (MARGIN, 26),
        f"Black to white: percentiles {WINDOW[0]:g} to {WINDOW[1]:g} of each image. Licence: {info.licence}",
        MUTED,
        small,
    )
    legend(draw, (MARGIN, 44), info.classes[1:])
    for number, row in enumerate(rows):
        y = top + number * (TILE + CAPTION + MARGIN)
        title = "\n".join(_shortened(draw, small, line, HEADER - 2 * MARGIN) for line in row.title.splitlines())
        draw.multiline_text((MARGIN, y + 4), title, INK, small)
        for column, index in enumerate(row.indices):
            record, x = store.record(index), HEADER + column * (TILE + MARGIN)
            picture = tile(record)
            page.paste(picture, (x + (TILE - picture.width) // 2, y + (TILE - picture.height) // 2))
            draw.text((x, y + TILE), _shortened(draw, small, _caption(record), TILE), MUTED, small)
    return page


def rows_of(store: Store) -> list[Row]:
    """The rows, of at most `LOOKED_AT` records spread evenly over the store, whatever order it has."""
    label = _label(store)
    choices: dict[tuple[str, str], dict[str, Choice]] = defaultdict(dict)
    for index in spread(len(store), LOOKED_AT):
        record = store.record(index)
        key = (record.view, record.labels.get(label, "") if label else "")
        position = record.slice / max(1, record.slices - 1)
        choice = Choice(record.mask is None or not record.mask.any(), abs(position - 0.5), index)
        known = choices[key].setdefault(record.subject, choice)
        choices[key][record.subject] = min(known, choice)
    rows = []
    for (view, value), of_subjects in sorted(choices.items())[:DOWN]:
        picked = [of_subjects[who].index for who in sorted(of_subjects)]
        picked = [picked[place] for place in np.unique(np.linspace(0, len(picked) - 1, ACROSS).astype(int))]
        rows.append(Row("\n".join(filter(None, (view, f"{label}: {value}" if value else ""))), tuple(picked)))
    return rows


def spread(count: int, most: int) -> list[int]:
    """All of `count` places, or `most` of them spread evenly, and in no step with how a store repeats itself."""
    if count <= most:
        return list(range(count))
    return sorted({int(count * ((place * GOLDEN) % 1.0)) for place in range(most)})


def tile(record: Record) -> Image.Image:
    """The image in its true proportions, as large as a tile may be, with the outlines of its mask."""
    grey = windowed(record.image.mean(axis=2))
    dy, dx = np.nan_to_num(np.asarray(record.plane.spacing, np.float64), nan=1.0)
    high, wide = grey.shape[0] * dy, grey.shape[1] * dx
    scale = TILE / max(high, wide)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    picture = np.repeat(np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))[..., None], 3, axis=2)
    if record.mask is not None:
        mask = np.asarray(Image.fromarray(record.mask).resize(size, Image.Resampling.NEAREST))
        for code in np.unique(mask[mask > 0]):
            colour = OUTLINES[(int(code) - 1) % len(OUTLINES)]
            picture[border(mask == code)] = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    return Image.fromarray(picture)


def windowed(image: Shaped[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
    """The image between two of its percentiles as 0 to 255; one that is all the same is black."""
    low, high = np.percentile(image, WINDOW)
    if high <= low:
        low, high = float(image.min()), float(image.max())
    return np.rint(255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


def border(inside: np.ndarray) -> np.ndarray:
    """The pixels inside that have one beside them that is outside, or is not there."""
    padded = np.pad(inside, 1)
    within = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~within


def _label(store: Store) -> str | None:
    """The label that tells rows of a store with few views apart: `group`, or the first that has a few values."""
    few = [name for name, values in store.info.labels.items() if 2 <= len(values) <= 12]
    rows = {name: len(store.info.labels[name]) * len(store.info.views) for name in few}
    few = [name for name in few if rows[name] <= DOWN]
    return "group" if "group" in few else next(iter(few), None)


def _caption(record: Record) -> str:
    place = f"  {record.slice + 1}/{record.slices}" if record.slices > 1 else ""
    time = f"  {record.moment or f'frame {record.phase + 1}'}" if record.phases > 1 else ""
    return f"{record.subject}{place}{time}"


def legend(draw: ImageDraw.ImageDraw, at: tuple[int, int], classes: Sequence[str]) -> None:
    """The names of classes in the colours of their outlines, in a line from left to right."""
    font, (left, top) = ImageFont.load_default(11), at
    for place, name in enumerate(classes):
        draw.text((left, top), name, OUTLINES[place % len(OUTLINES)], font)
        left += int(draw.textlength(name, font)) + 14


def _shortened(draw: ImageDraw.ImageDraw, font: Font, text: str, width: int) -> str:
    """The end of a text that is too wide, which tells more than the middle of a name."""
    while draw.textlength(text, font) > width and len(text) > 1:
        text = "…" + text[2:]
    return text
