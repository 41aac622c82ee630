"""From a function of images to an ONNX model: traced for any number of images, and walked equation by equation."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import export
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from onnx import helper, numpy_helper

from jaxssl.errors import UserError
from jaxssl.models.onnx.graph import BATCH, OPSET, Constant, Graph, Operand, is_fixed, tensor
from jaxssl.models.onnx.rules import RULES
from jaxssl.version import __version__

IMAGES = "images"
CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Where the primitives that call a function keep it; so does a loop, which is no call."""


def to_onnx(
    function: Callable[[Any, jax.Array], jax.Array], variables: Any, size: tuple[int, int, int], output: str
) -> onnx.ModelProto:
    """The model of `function(variables, images)` with images float32 [batch, *size], for any batch; checked.

    The variables become constants of the model, under the names that they have in their tree. Whatever does not
    depend on the images is computed here and now. A primitive without a rule is refused with a UserError.
    """
    (batch,) = export.symbolic_shape(BATCH)
    images = jax.ShapeDtypeStruct((batch, *size), jnp.float32)
    traced: ClosedJaxpr = jax.make_jaxpr(function)(variables, images)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]
    graph = Graph(IMAGES)

    def grow(leaves: Sequence[jax.Array]) -> dict[str, jax.Array]:
        """Grow the graph, once, while its constants are traced: one program computes them all."""
        given = [Constant(leaf, name) for leaf, name in zip(leaves, names, strict=True)]
        (result,) = _walk(graph, traced.jaxpr, _constants(traced.consts), [*given, IMAGES])
        graph.nodes.append(helper.make_node("Identity", [graph.use(result)], [output]))
        return {name: value for name, value in graph.constants.items() if not isinstance(value, np.ndarray)}

    computed = jax.jit(grow)(jax.tree.leaves(variables))
    constants = {name: np.asarray(computed.get(name, value)) for name, value in graph.constants.items()}
    after: Any = traced.jaxpr.outvars[0].aval
    return _checked(
        helper.make_graph(
            graph.nodes,
            "jaxssl",
            [tensor(IMAGES, images.shape, images.dtype)],
            [tensor(output, after.shape, after.dtype)],
            initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
    )


def _checked(graph: onnx.GraphProto) -> onnx.ModelProto:
    """A model of this graph, its types and shapes inferred and found to fit."""
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, producer_name="jaxssl", producer_version=__version__, opset_imports=[opset])
    model.ir_version = helper.find_min_ir_version_for([opset])
    onnx.checker.check_model(model, full_check=True)
    return model


def _walk(graph: Graph, jaxpr: Jaxpr, constants: Sequence[Operand], given: Sequence[Operand]) -> list[Operand]:
    """The outputs of a jaxpr whose constants and inputs are these."""
    known: dict[Var, Operand] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *given], strict=True))

    def read(atom: Any) -> Operand:
        return known[atom] if isinstance(atom, Var) else Constant(np.asarray(atom.val, atom.aval.dtype))

    for equation in _wanted(jaxpr):
        known.update(zip(equation.outvars, _outputs(graph, equation, [*map(read, equation.invars)]), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _wanted(jaxpr: Jaxpr) -> list[JaxprEqn]:
    """The equations that the outputs depend on: a network is often asked for a part of what it computes."""
    wanted, found = set(map(id, jaxpr.outvars)), []
    for equation in reversed(jaxpr.eqns):
        if not wanted.isdisjoint(map(id, equation.outvars)):
            wanted.update(map(id, equation.invars))
            found.append(equation)
    return found[::-1]


def _outputs(graph: Graph, equation: JaxprEqn, operands: list[Operand]) -> Sequence[Operand]:
    name, given = equation.primitive.name, equation.params
    if name != "scan" and (inner := next((given[key] for key in CALLS if key in given), None)):
        return _call(graph, inner, operands)
    if all(isinstance(operand, Constant) for operand in operands) and all(map(_is_fixed, equation.outvars)):
        return _computed(equation, [operand.value for operand in operands])  # type: ignore[union-attr]
    if name not in RULES:
        raise UserError(
            f"This network computes {name!r}, which jaxssl does not know how to write in ONNX; "
            "export it with --format safetensors."
        )
    try:
        outputs = RULES[name](graph, equation, *operands)
    except ValueError as error:
        raise UserError(
            f"This network cannot be written in ONNX ({name}): {error}; export it with --format safetensors."
        ) from error
    return [outputs] if isinstance(outputs, str | Constant) else outputs


def _computed(equation: JaxprEqn, values: Sequence[Any]) -> Sequence[Operand]:
    """What an equation makes of constants: whole numbers at once, as they may say where to cut, others while traced."""
    made: Sequence[Any] = [var.aval for var in equation.outvars]
    whole = all(isinstance(value, np.ndarray) and value.dtype.kind in "iu" for value in values)
    whole = whole and all(aval.dtype.kind in "iu" for aval in made)
    with jax.ensure_compile_time_eval() if whole else contextlib.nullcontext():
        outputs = equation.primitive.bind(*values, **equation.params)
        outputs = outputs if equation.primitive.multiple_results else [outputs]
        return _constants([np.asarray(output) for output in outputs] if whole else outputs)


def _call(graph: Graph, inner: ClosedJaxpr | Jaxpr, operands: Sequence[Operand]) -> list[Operand]:
    if isinstance(inner, ClosedJaxpr):
        return _walk(graph, inner.jaxpr, _constants(inner.consts), operands)
    return _walk(graph, inner, (), operands)


def _is_fixed(variable: Any) -> bool:
    return is_fixed(variable.aval.shape)


def _constants(values: Sequence[Any]) -> list[Operand]:
    return [Constant(value) for value in values]
