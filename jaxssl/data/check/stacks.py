"""Whether the planes of images agree with themselves and with each other."""

import numpy as np

from jaxssl.data.check.findings import Findings, Kind
from jaxssl.data.record import Record
from jaxssl.geometry import PARALLEL, Plane, base_to_apex, normal

ORTHONORMAL = 1e-4
"""How far products of unit axes may be from 0 and 1: scanners write six decimals."""
TOGETHER = 1e-3
"""mm between slices that are at one place."""


class Stacks:
    """Looks at planes as they pass, and keeps one a slice of each stack."""

    def __init__(self, findings: Findings):
        self._findings = findings
        self._stacks: dict[tuple[str, str], dict[int, Plane]] = {}
        self._about: dict[tuple[str, str], tuple[str, int, bool]] = {}

    def add(self, record: Record, where: str) -> None:
        """Look at one plane."""
        if fault := _fault(record):
            self._findings.add(Kind.PLANE, f"{where}: {fault}")
            return
        stack = (record.study, record.view)
        _, slices, ordered = self._about.setdefault(stack, (where, record.slices, record.ordered))
        if (slices, ordered) != (record.slices, record.ordered):
            self._findings.add(Kind.STACK, f"{where}: says otherwise of its stack than the record before")
        if np.isfinite(record.plane.origin).all():
            self._stacks.setdefault(stack, {}).setdefault(record.slice, record.plane)

    def close(self) -> None:
        """Look at whole stacks."""
        for stack, planes in self._stacks.items():
            where, _, ordered = self._about[stack]
            in_order = [planes[number] for number in sorted(planes)]
            if fault := _disorder(in_order):
                self._findings.add(Kind.STACK, f"{where}: {fault}")
            elif stack[1] == "sax" and ordered and (order := base_to_apex(in_order)) and order[0] != 0:
                self._findings.add(Kind.BASE, where)


def _fault(record: Record) -> str:
    """What is wrong with a plane by itself; a place, a pixel's size and a thickness may be unknown (nan)."""
    plane = record.plane
    axes = np.stack([plane.x_axis, plane.y_axis])
    if not (np.abs(axes @ axes.T - np.eye(2)) <= ORTHONORMAL).all():
        return "its axes are not orthonormal"
    spacing = np.asarray(plane.spacing)
    if not (np.isnan(spacing).all() or (np.isfinite(spacing).all() and (spacing > 0).all())):
        return "the size of its pixels is not positive"
    if not (np.isnan(plane.origin).all() or np.isfinite(plane.origin).all()):
        return "its place is half known"
    if not (np.isnan(record.thickness) or (np.isfinite(record.thickness) and record.thickness > 0)):
        return "its thickness is not positive"
    return ""


def _disorder(stack: list[Plane]) -> str:
    """What is wrong with a stack, slices in their order; one along the normal or against it are both in order."""
    if len(stack) < 2:
        return ""
    direction = normal(stack[0])
    if any(abs(normal(plane) @ direction) <= PARALLEL for plane in stack):
        return "its slices are not parallel"
    steps = np.diff([_centre(plane) @ direction for plane in stack])
    if np.any(np.abs(steps) < TOGETHER):
        return "two slices are at one place"
    return "" if np.all(steps > 0) or np.all(steps < 0) else "its slices are not in order"


def _centre(plane: Plane) -> np.ndarray:
    """The middle of the image: slightly tilted slices are farther apart at their corners."""
    y, x = (np.asarray(plane.shape) - 1) / 2 * np.nan_to_num(plane.spacing)
    return plane.origin + y * plane.y_axis + x * plane.x_axis
