"""What each of JAX's primitives is in ONNX: `RULES[name](graph, equation, *operands)` gives the equation's outputs.

Only what networks of this package come to when they are evaluated is here; the rest is refused by name.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxssl.models.onnx.graph import Constant, Graph, Operand, integers, scalar

Equation = Any
"""A `JaxprEqn`, whose variables are typed for what has no shape as well."""
Outputs = Operand | Sequence[Operand]
Rule = Callable[..., Outputs]

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a function as the rule of these primitives."""

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return enter


def shape(equation: Equation, operand: int) -> tuple[Any, ...]:
    """The shape of an operand; that of the output is `outvars[0]`'s."""
    return equation.invars[operand].aval.shape


def _is(kind: str) -> Rule:
    return lambda graph, equation, *operands: graph.add(kind, *operands)


RULES |= {
    name: _is(kind)
    for name, kind in {
        **{"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max"},
        **{"neg": "Neg", "exp": "Exp", "ge": "GreaterOrEqual"},
    }.items()
}


@rule("stop_gradient", "copy", "optimization_barrier")
def same(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    return x


@rule("square")
def square(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    return graph.add("Mul", x, x)


@rule("rsqrt")
def reciprocal_root(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    return graph.add("Reciprocal", graph.add("Sqrt", x))


@rule("erfc")
def complement(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    return graph.add("Sub", scalar(1, equation.outvars[0].aval.dtype), graph.add("Erf", x))


@rule("select_n")
def choose(graph: Graph, equation: Equation, which: Operand, *cases: Operand) -> Outputs:
    if len(cases) != 2:
        raise ValueError(f"a choice between {len(cases)} cases cannot be converted, only one between two")
    return graph.add("Where", which, cases[1], cases[0])


@rule("reduce_sum", "reduce_max")
def reduce(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    kind = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax"}[equation.primitive.name]
    return graph.add(kind, x, integers(equation.params["axes"]), keepdims=0)


@rule("reshape", "squeeze")
def reshape(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    return graph.reshape(x, equation.outvars[0].aval.shape)


@rule("transpose")
def transpose(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    return graph.transpose(x, equation.params["permutation"])


@rule("broadcast_in_dim")
def broadcast(graph: Graph, equation: Equation, x: Operand, *sides: Operand) -> Outputs:
    """`sides` are symbolic ones as operands; the shape of the output says the same."""
    after = equation.outvars[0].aval.shape
    aligned: list[Any] = [1] * len(after)
    for axis, side in zip(equation.params["broadcast_dimensions"], shape(equation, 0), strict=True):
        aligned[axis] = side
    if tuple(aligned) != tuple(shape(equation, 0)):
        x = graph.reshape(x, aligned)
    return graph.expand(x, aligned, after)


@rule("concatenate")
def concatenate(graph: Graph, equation: Equation, *operands: Operand) -> Outputs:
    return graph.add("Concat", *operands, axis=int(equation.params["dimension"]))


def cut(
    graph: Graph, x: Operand, before: Sequence[Any], start: Sequence[Any], stop: Sequence[Any], step: Sequence[int]
) -> Operand:
    """x[start:stop:step] along every axis that this changes."""
    axes = [axis for axis, side in enumerate(before) if (start[axis], stop[axis], step[axis]) != (0, side, 1)]
    if not axes:
        return x
    ranges = (integers([values[axis] for axis in axes]) for values in (start, stop))
    return graph.add("Slice", x, *ranges, integers(axes), integers([step[axis] for axis in axes]))


@rule("slice")
def slice_(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    before, given = shape(equation, 0), equation.params
    return cut(graph, x, before, given["start_indices"], given["limit_indices"], given["strides"] or (1,) * len(before))


@rule("unstack")
def unstack(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    """From jax 0.12 on; before, slices that are squeezed."""
    axis = int(equation.params["axis"])
    return [graph.add("Gather", x, scalar(index, np.int64), axis=axis) for index in range(shape(equation, 0)[axis])]


@rule("gather")
def gather(graph: Graph, equation: Equation, x: Operand, where: Operand) -> Outputs:
    """x[..., 3, 2:5, ...]: one window at a constant place, which is how JAX writes most of its indexing."""
    numbers, before, sizes = equation.params["dimension_numbers"], shape(equation, 0), equation.params["slice_sizes"]
    if len(shape(equation, 1)) != 1 or not isinstance(where, Constant):
        raise ValueError("indexing by an array cannot be converted, only that by numbers")
    begin: list[Any] = [0] * len(before)
    for axis, start in zip(numbers.start_index_map, where.value, strict=True):
        begin[axis] = int(start)
    end = [start + size for start, size in zip(begin, sizes, strict=True)]
    window = cut(graph, x, before, begin, end, (1,) * len(before))
    return graph.reshape(window, equation.outvars[0].aval.shape) if numbers.collapsed_slice_dims else window


@rule("dot_general")
def dot(graph: Graph, equation: Equation, x: Operand, y: Operand) -> Outputs:
    """A product of matrices: shared axes first, then x's own and y's own, the summed ones between them."""
    (sum_x, sum_y), (shared_x, shared_y) = equation.params["dimension_numbers"]
    shape_x, shape_y = shape(equation, 0), shape(equation, 1)
    own_x = [axis for axis in range(len(shape_x)) if axis not in {*sum_x, *shared_x}]
    own_y = [axis for axis in range(len(shape_y)) if axis not in {*sum_y, *shared_y}]
    summed, shared = math.prod(shape_x[axis] for axis in sum_x), [shape_x[axis] for axis in shared_x]
    sides_x, sides_y = [shape_x[axis] for axis in own_x], [shape_y[axis] for axis in own_y]
    x, y = graph.transpose(x, [*shared_x, *own_x, *sum_x]), graph.transpose(y, [*shared_y, *sum_y, *own_y])
    # Without shared axes x keeps its own apart, as a layer of a network has them.
    rows = [math.prod(sides_x)] if shared else sides_x
    if len(rows) != len(sides_x) or len(sum_x) != 1:
        x = graph.reshape(x, [*shared, *rows, summed])
    if len(sides_y) != 1 or len(sum_y) != 1:
        y = graph.reshape(y, [*shared, summed, math.prod(sides_y)])
    product, after = graph.add("MatMul", x, y), [*shared, *sides_x, *sides_y]
    return product if len(rows) == len(sides_x) and len(sides_y) == 1 else graph.reshape(product, after)


@rule("conv_general_dilated")
def convolve(graph: Graph, equation: Equation, x: Operand, kernel: Operand) -> Outputs:
    given = equation.params
    if any(side != 1 for side in given["lhs_dilation"]) or given["batch_group_count"] != 1:
        raise ValueError("a transposed convolution cannot be converted")
    numbers = given["dimension_numbers"]
    y = graph.add(
        "Conv",
        graph.transpose(x, numbers.lhs_spec),
        graph.transpose(kernel, numbers.rhs_spec),
        strides=[*given["window_strides"]],
        dilations=[*given["rhs_dilation"]],
        group=given["feature_group_count"],
        pads=_pads(given["padding"]),
    )
    return graph.transpose(y, np.argsort(numbers.out_spec).tolist())


@rule("reduce_window_max", "reduce_window_sum")
def pool(graph: Graph, equation: Equation, x: Operand) -> Outputs:
    """Pooling of images whose channels are last; ONNX wants them second."""
    given, last = equation.params, len(shape(equation, 0)) - 1
    dilated = any(side != 1 for side in (*given["base_dilation"], *given["window_dilation"]))
    outer = [given[name][axis] for name in ("window_dimensions", "window_strides") for axis in (0, last)]
    padded = any(given["padding"][0]) or any(given["padding"][last])
    if dilated or padded or any(side != 1 for side in outer):
        raise ValueError("a window over samples or channels, or one with gaps, cannot be converted")
    window = given["window_dimensions"][1:last]
    settings = {
        "kernel_shape": [*window],
        "strides": [*given["window_strides"][1:last]],
        "pads": _pads(given["padding"][1:last]),
    }
    first = graph.transpose(x, [0, last, *range(1, last)])
    if equation.primitive.name == "reduce_window_max":
        y = graph.add("MaxPool", first, **settings)
    else:
        mean = graph.add("AveragePool", first, count_include_pad=1, **settings)
        y = graph.add("Mul", mean, scalar(math.prod(window), equation.outvars[0].aval.dtype))
    return graph.transpose(y, [0, *range(2, last + 1), 1])


def _pads(padding: Sequence[tuple[int, int]]) -> list[int]:
    """First what comes before along each axis, then what comes after."""
    return [int(sides[end]) for end in (0, 1) for sides in padding]
