"""An ONNX graph while it grows: nodes in the order of computing, and the constants that they use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import onnx
from onnx import helper

OPSET = 18
"""The oldest in which all reductions take their axes as an input."""

BATCH = "batch"


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that does not depend on the images; a name says which parameter it is.

    Its value is traced as long as the graph grows, save for whole numbers such as indices.
    """

    value: np.ndarray | jax.Array
    name: str = ""


Operand = Constant | str
"""A constant, or the name of what is only known when the model runs."""


def is_fixed(shape: Sequence[Any]) -> bool:
    """Whether a shape is known while converting: a symbolic batch is not."""
    return all(isinstance(side, int | np.integer) for side in shape)


def element_type(dtype: Any) -> int:
    """ONNX's number for a type of elements."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


@dataclass
class Graph:
    """Nodes and constants so far; `images` is the input, whose first side is the batch."""

    images: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray | jax.Array] = field(default_factory=dict)
    count: int = 0
    batch: str = ""
    """The number of images, as a vector of one, once a node wants it."""

    def add(self, kind: str, *operands: Operand, **attributes: Any) -> str:
        """Append one node of one output, and give the output's name."""
        name = self._fresh(kind.lower())
        self.nodes.append(helper.make_node(kind, [self.use(one) for one in operands], [name], **attributes))
        return name

    def use(self, operand: Operand) -> str:
        """The name by which a node calls an operand; a constant is kept in the model from its first use on."""
        if isinstance(operand, str):
            return operand
        name = operand.name or self._fresh("constant")
        if self.constants.get(name, operand.value) is not operand.value:
            name = self._fresh(name)  # a parameter that is used in another layout as well
        self.constants[name] = operand.value
        return name

    def reshape(self, x: Operand, shape: Sequence[Any]) -> Operand:
        """Reshape; the one side that may be symbolic follows from the others."""
        if isinstance(x, Constant) and is_fixed(shape):
            return Constant(x.value.reshape(shape), x.name)
        if sum(not is_fixed([side]) for side in shape) > 1:
            raise ValueError(f"two sides of {tuple(shape)} depend on the batch, which ONNX cannot tell apart")
        return self.add("Reshape", x, integers([side if is_fixed([side]) else -1 for side in shape]))

    def transpose(self, x: Operand, order: Sequence[int]) -> Operand:
        """Put the axes into this order."""
        if list(order) == list(range(len(order))):
            return x
        if isinstance(x, Constant):
            return Constant(x.value.transpose(order), x.name)
        return self.add("Transpose", x, perm=[int(axis) for axis in order])

    def expand(self, x: Operand, before: Sequence[Any], after: Sequence[Any]) -> Operand:
        """Repeat x along the axes where `before` has 1 and `after` more."""
        if tuple(before) == tuple(after):
            return x
        if all(old == new for old, new in zip(before, after, strict=True) if not is_fixed([new])):
            # Where x has the batch already, 1 leaves it as it is.
            return self.add("Expand", x, integers([side if is_fixed([side]) else 1 for side in after]))
        if {str(side) for side in after if not is_fixed([side])} != {BATCH}:
            raise ValueError(f"of sides that depend on the batch only the batch itself is known, not {tuple(after)}")
        self.batch = self.batch or self.add("Shape", self.images, start=0, end=1)
        sides = [integers([side]) if is_fixed([side]) else self.batch for side in after]
        return self.add("Expand", x, self.add("Concat", *sides, axis=0))

    def _fresh(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"


def integers(values: Sequence[Any]) -> Constant:
    """A vector of whole numbers, as shapes and axes are given to nodes."""
    return Constant(np.array(values, np.int64))


def tensor(name: str, shape: Sequence[Any], dtype: Any) -> onnx.ValueInfoProto:
    """Name, type and shape of an input or output; a symbolic side goes by its name."""
    sides = [int(side) if is_fixed([side]) else str(side) for side in shape]
    return helper.make_tensor_value_info(name, element_type(dtype), sides)


def scalar(value: float, dtype: Any) -> Constant:
    """One number."""
    return Constant(np.array(value, dtype))
