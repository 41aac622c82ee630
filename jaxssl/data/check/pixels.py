"""Whether images show something, in full, and whether their masks fit them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from jaxssl.data.check.findings import Findings, Kind
from jaxssl.data.record import Record

CLIPPED = 0.02
"""Share of the pixels above an image's lowest value (its background), or of a subject's, from which on those at the
highest value were cut off rather than measured."""


class Pixels:
    """Looks at images as they pass."""

    def __init__(self, classes: Sequence[str], findings: Findings):
        self._classes, self._findings = classes, findings
        self._tops: dict[str, tuple[int, int, int]] = {}
        """Of each subject: its highest value, the pixels there, and those above the lowest value of their image."""

    def add(self, record: Record, where: str) -> None:
        """Look at one image and its mask."""
        constant = bool((record.image == record.image.flat[0]).all())
        if constant:
            self._findings.add(Kind.CONSTANT, where)
        else:
            self._count(record, where)
        if record.mask is None:
            return
        if constant and record.mask.any():
            self._findings.add(Kind.MASK, where)
        if record.mask.max() >= len(self._classes):
            self._findings.add(Kind.CODE, f"{where}: {record.mask.max()} of {len(self._classes)} classes")

    def close(self) -> None:
        """Name subjects that were clipped below the end of their type, as a scanner or a window clips."""
        for subject, (_, there, above) in self._tops.items():
            if there > CLIPPED * above:
                self._findings.add(Kind.CLIPPED, f"subject {subject}: {there / above:.1%} of its pixels")

    def _count(self, record: Record, where: str) -> None:
        highest, there, above = _top(record.image)
        known, before, total = self._tops.get(record.subject, (highest, 0, 0))
        at_top = before * (known >= highest) + there * (highest >= known)
        self._tops[record.subject] = (max(known, highest), at_top, total + above)
        if highest == np.iinfo(record.image.dtype).max and there > CLIPPED * above:
            self._findings.add(Kind.CLIPPED, f"{where}: {there / above:.1%} of its pixels")


def _top(image: Shaped[np.ndarray, "y x channel"]) -> tuple[int, int, int]:
    highest = image.max()
    return int(highest), int((image == highest).sum()), int((image > image.min()).sum())
