"""What a computation costs, read from its jaxpr: on no device and for none in particular."""

import math

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def multiply_adds(jaxpr: Jaxpr) -> int:
    """Multiply-adds of the convolutions and matrix products of a jaxpr; those of a loop's body count once a turn."""
    total = 0
    for equation in jaxpr.eqns:
        out = equation.outvars[0].aval.shape if equation.outvars else ()
        if equation.primitive.name == "conv_general_dilated":
            spec = equation.params["dimension_numbers"].rhs_spec
            kernel = equation.invars[1].aval.shape
            total += math.prod(out) * math.prod(kernel) // kernel[spec[0]]
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += math.prod(out) * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            if isinstance(value, ClosedJaxpr | Jaxpr):
                total += turns * multiply_adds(value.jaxpr if isinstance(value, ClosedJaxpr) else value)
    return total


def kept_bytes(function, *arguments) -> int:
    """Bytes that wait between forward and backward pass: what `jax.vjp` holds, arguments of `function` included."""
    pull = jax.eval_shape(lambda *given: jax.vjp(function, *given)[1], *arguments)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pull))


def temporary_bytes(function, *arguments) -> int:
    """Bytes of temporary memory that value and gradient of `function` take once compiled."""
    compiled = jax.jit(jax.value_and_grad(function)).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes
