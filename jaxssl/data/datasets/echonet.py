"""EchoNet-Dynamic."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.datasets.masks import Polygons
from jaxssl.data.subject import Series, Subject

Corners = tuple[tuple[float, float], ...]


class EchoNetDynamic(Set):
    """EchoNet-Dynamic: apical four-chamber echocardiography clips, the LV traced in ED and ES.

    10 030 clips of 112 x 112 pixels, each of another patient of Stanford Health Care. To be had from Stanford, after an
    agreement.

        FileList.csv            FileName (without .avi), EF, ESV, EDV, FPS, NumberOfFrames, Split
        VolumeTracings.csv      FileName, X1, Y1, X2, Y2, Frame: the long axis, then the diameters across it
        Videos/0X1A2B.avi

    Of the two frames that were traced, ED is the one of the larger area. Nobody knows how large a pixel is. The
    ejection fraction is a number and no class, and is left where it is.
    """

    modality = "echocardiography"
    licence = "Stanford University Dataset Research Use Agreement: research, not to be passed on"
    citation = "Ouyang et al., Nature 580:252-256, 2020, 10.1038/s41586-020-2145-8"
    layout = "FileList.csv, VolumeTracings.csv and Videos/*.avi"
    classes = ("background", "LV")

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The clips of the list, each a patient."""
        for path in sorted(source.rglob("FileList.csv"))[:1]:
            traced = _traced(path.with_name("VolumeTracings.csv"), reject)
            for row in sorted(tables.rows(path, "FileName"), key=lambda row: row["FileName"]):
                name = row["FileName"].removesuffix(".avi")
                corners = traced.get(name, {})
                series = Series(
                    (path.parent / "Videos" / f"{name}.avi",),
                    view="4ch",
                    masks=Polygons(corners),
                    labels=tables.known(split=row.get("Split", "").lower()),
                    moments=_moments(corners),
                )
                yield Subject(name, (series,))


def _traced(path: Path, reject: Reject) -> dict[str, dict[int, Corners]]:
    """The outline of the LV by clip and frame: down one end of the diameters, and up the other."""
    lines = defaultdict(lambda: defaultdict(list))
    for row in tables.rows(path, "FileName", "X1", "Y1", "X2", "Y2", "Frame"):
        frame = tables.whole(row["Frame"])
        if frame is None:
            reject(path, f"{row['FileName']} has an outline in the frame {row['Frame']!r}, which is none: left out")
            continue
        line = [tables.number(row[name], path, name) for name in ("X1", "Y1", "X2", "Y2")]
        lines[row["FileName"].removesuffix(".avi")][frame].append(line)
    return {name: {at: _outline(own) for at, own in frames.items()} for name, frames in lines.items()}


def _outline(lines: Sequence[Sequence[float]]) -> Corners:
    _long_axis, *across = lines
    return (*((x, y) for x, y, _, _ in across), *((x, y) for _, _, x, y in reversed(across)))


def _moments(corners: dict[int, Corners]) -> dict[int, str]:
    if len(corners) != 2:
        return {}
    end_systole, end_diastole = sorted(corners, key=lambda frame: _area(corners[frame]))
    return {end_diastole: "ED", end_systole: "ES"}


def _area(corners: Corners) -> float:
    """Of a polygon, by the shoelace formula."""
    following = (*corners[1:], *corners[:1])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, following, strict=True))) / 2
