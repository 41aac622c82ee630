"""How large what was segmented is, frame by frame, and what the left ventricle ejects, as two tables."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxssl.data.study.volume import Volume
from jaxssl.evaluate.metrics import ejection_fraction, mass
from jaxssl.files import beside

VOLUMES, HEARTS = "volumes.csv", "hearts.csv"


class Sizes:
    """Gathers the rows of both tables, acquisition by acquisition."""

    def __init__(self, classes: Sequence[str]):
        self.classes, self.frames, self.hearts = list(classes), list[dict[str, Any]](), list[dict[str, Any]]()
        self.unknown = 0
        """Acquisitions of which nobody knows how large a pixel is, or how far slices lie."""

    def add(self, name: PurePath, volume: Volume, masks: UInt8[np.ndarray, "x y slices frames"]) -> int:
        """Note an acquisition; the frame in which the left ventricle, or all that was found, is largest.

        A stack has volumes (ml), in frames of which no slice is missing; a single slice has areas (mm²).
        """
        counts = np.stack([(masks == code).sum((0, 1, 2)) for code in range(1, len(self.classes) + 1)], axis=1)
        complete = np.bincount([frame for _, frame in volume.places], minlength=masks.shape[3]) == masks.shape[2]
        sizes, unit = _in_units(counts, volume)
        self.unknown += not unit
        for frame in range(masks.shape[3]):
            said = {f"{name}_{unit}": _text(size) for name, size in zip(self.classes, sizes[frame], strict=True)}
            known = said if unit and complete[frame] else {}
            self.frames.append({"acquisition": name.as_posix(), "view": volume.view, "frame": frame, **known})
        if "LV" in self.classes and unit == "ml" and complete.sum() > 1:
            self.hearts.append({"acquisition": name.as_posix(), **self._heart(sizes, complete)})
        ventricle = counts[:, self.classes.index("LV")] if "LV" in self.classes else counts.sum(1)
        return int(np.argmax(ventricle * complete if complete.any() else ventricle))

    def write(self, folder: Path) -> None:
        """Both tables; that of hearts where there are some."""
        columns = [f"{name}_{unit}" for unit in ("ml", "mm2") for name in self.classes]
        used = [column for column in columns if any(column in row for row in self.frames)]
        _write(folder / VOLUMES, self.frames, ["acquisition", "view", "frame", *used])
        if self.hearts:
            _write(folder / HEARTS, self.hearts, list(self.hearts[0]))

    def _heart(self, sizes: Float[np.ndarray, "frames classes"], complete: np.ndarray) -> dict[str, Any]:
        """The left ventricle at its largest (ED) and its smallest (ES), whatever frames these are."""
        ventricle = sizes[:, self.classes.index("LV")]
        ed = int(np.argmax(np.where(complete, ventricle, -np.inf)))
        es = int(np.argmin(np.where(complete, ventricle, np.inf)))
        muscle = mass(sizes[ed, self.classes.index("MYO")]) if "MYO" in self.classes else None
        return {
            "ed_frame": ed,
            "es_frame": es,
            "edv_ml": _text(ventricle[ed]),
            "esv_ml": _text(ventricle[es]),
            "ef_percent": _text(ejection_fraction(ventricle[ed], ventricle[es])),
            "mass_g": _text(muscle),
        }


def _in_units(counts: np.ndarray, volume: Volume) -> tuple[Float[np.ndarray, "frames classes"], str]:
    """Sizes in the unit that is known; without one where nobody knows how large a pixel is, or how far slices lie."""
    if volume.spacing is None or (volume.shape[2] > 1 and volume.step is None):
        return counts.astype(float), ""
    areas = counts * np.prod(volume.spacing)
    return (areas, "mm2") if volume.step is None else (areas * volume.step / 1000, "ml")


def _text(size: float | None) -> str:
    return "" if size is None else f"{size:.2f}"


def _write(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    with beside(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(rows)
