"""How a table of names is written: rows that pair a module of ours with one of torch, read in both directions.

A module of ours has leaves called kernel, scale, bias, and mean and var among the statistics; torch calls them weight,
weight, bias, running_mean and running_var. Only kernels turn: torch has what comes out first.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
Shapes = Mapping[str, tuple[int, ...]]
Turn = tuple[int, ...]
"""Axes of ours in the order in which torch has them."""
CONVOLUTION: Turn = (3, 2, 0, 1)
"""[i, j, in, out] here, [out, in, i, j] there."""
LINEAR: Turn = (1, 0)
"""[in, out] here, [out, in] there."""
DOUBLING: Turn = (0, 3, 1, 2)
"""A transposed convolution whose strides do not overlap: [in, i, j, out] here, [in, out, i, j] there."""


class Number(int):
    """A number in a name."""

    @property
    def next(self) -> int:
        """The number as torch has it where it counts from one."""
        return self + 1


class Place(NamedTuple):
    """What torch calls an array of ours, and how its axes lie there; without a turn as they do here."""

    name: str
    turn: Turn | None = None
    folded: tuple[int, int, int] | None = None
    """The map [y, x, channel] that a linear layer sees in a row: torch has it with the channel first."""

    def out(self, array: Any) -> np.ndarray:
        """Our array as torch has it."""
        array = np.asarray(array)
        if self.folded:
            return array.reshape(*self.folded, -1).transpose(CONVOLUTION).reshape(array.shape[1], -1)
        return array.transpose(self.turn) if self.turn else array

    def back(self, array: np.ndarray) -> np.ndarray:
        """Torch's array as we have it; one that is no such layer's stays, for its shape to be refused.

        A convolution as large as its map, or of one pixel, is a linear layer.
        """
        if self.folded and array.size == len(array) * math.prod(self.folded):
            y, x, channel = self.folded
            return array.reshape(-1, channel, y, x).transpose(np.argsort(CONVOLUTION)).reshape(-1, len(array))
        if self.turn == LINEAR and array.shape[2:] == (1, 1):
            array = array[:, :, 0, 0]
        return array.transpose(np.argsort(self.turn)) if self.turn and array.ndim == len(self.turn) else array

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that torch has where we have this one."""
        return tuple(ours[axis] for axis in self.turn) if self.turn else ours


@dataclass(frozen=True)
class Row:
    """A module, or a leaf by itself, in both languages; {words} stand for numbers, {word.next} for one more."""

    ours: str
    theirs: str
    turn: Turn | None = None
    """Of the kernel."""
    leaf: bool = False
    folded: tuple[int, int, int] | None = None
    """The map in the rows of the kernel, see `Place`."""

    def place(self, path: str) -> Place | None:
        """Where the array of this path (the part and its kind left out) lies, if it is one of this row."""
        module, _, leaf = (path, "", "") if self.leaf else path.rpartition("/")
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(self.ours))
        found = re.fullmatch(pattern, module)
        if found is None or not (self.leaf or leaf in LEAVES):
            return None
        name = self.theirs.format(**{word: Number(digits) for word, digits in found.groupdict().items()})
        if self.leaf:
            return Place(name)
        name = f"{name}.{LEAVES[leaf]}"
        return Place(name, self.turn, self.folded) if leaf == "kernel" else Place(name)

    def path(self, name: str) -> str | None:
        """Where this tensor would lie, be there such an array or not: numbers stay words, the leaf torch's."""
        module, _, leaf = (name, "", "") if self.leaf else name.rpartition(".")
        if not re.fullmatch(re.sub(r"\\{.*?\\}", r"\\d+", re.escape(self.theirs)), module):
            return None
        kind = "statistics" if leaf.startswith("running_") else "params"
        return f"{kind}/{self.ours}" if self.leaf else f"{kind}/{self.ours}/{leaf}"


class Joining(NamedTuple):
    """Tensors made into arrays of ours: those by path, and by tensor what was changed and what was left, and why."""

    arrays: dict[str, np.ndarray]
    changed: dict[str, str]
    left: dict[str, str]


@dataclass(frozen=True)
class Joined:
    """What a table cannot pair array by array."""

    ours: Mapping[str, str]
    """Paths of ours, and the tensor that each comes from in the main."""
    theirs: frozenset[str]
    out: Callable[..., tuple[dict[str, np.ndarray], dict[str, str]]]
    """(model, arrays of ours by path, size of the images) -> tensors, and what metadata must say of them."""
    back: Callable[..., Joining]
    """(model, shapes of ours by path, tensors, metadata, name of the file) -> arrays of ours."""


@dataclass(frozen=True)
class Table:
    """What is known of the names of one backbone."""

    rows: Callable[[Shapes], tuple[Row, ...]]
    """The rows for a network with these paths and shapes."""
    telltale: str
    """A pattern that some name of this backbone begins with, and none of another."""
    network: Callable[[Shapes], str | None]
    """What a network with these tensors is called: "ResNet-50"; none where it is no such network after all."""
    dialects: tuple[tuple[str, str], ...] = ()
    """Patterns of names in other releases, and what the rows call them."""
    joined: Joined | None = None
    built: Callable[[Any, Shapes, tuple[int, int]], Any] = lambda model, shapes, size: None
    """(model, shapes of a file's tensors, size of the images) -> how timm builds it (`Built`); none where it cannot."""

    def canonical(self, name: str) -> str:
        """A name as the rows have it."""
        for pattern, here in self.dialects:
            name = re.sub(pattern, here, name)
        return name
