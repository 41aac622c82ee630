"""The dots and convolutions of a traced function: what its mathematics asks for, however it is compiled."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.interpreters.partial_eval import dce_jaxpr

from jaxssl.errors import UserError


@dataclass(frozen=True)
class Product:
    """One dot or convolution, done so many times: operations, 2 for each product that is summed, and the bytes of what
    it is given and of what it makes."""

    flops: int
    bytes: int
    times: int = 1


def products(function: Callable, *arguments: Any) -> list[Product]:
    """All that a function does with arguments of these shapes; nothing is computed.

    The body of a scan counts as often as it is run, of a conditional the dearest branch; what no result needs does not
    count, nor do products with the padding of a convolution or with the zeros that its gradient puts between elements.
    On several devices it is the work of all of them.
    """
    traced = jax.make_jaxpr(function)(*arguments).jaxpr
    needed, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
    return list(_of_jaxpr(needed))


def flops(found: list[Product]) -> int:
    """Operations of all of them."""
    return sum(each.flops * each.times for each in found)


def least_seconds(found: list[Product], peak: float, bandwidth: float) -> float:
    """The time below which no chip of so many operations and bytes a second can be: each product by itself takes as
    long as its arithmetic or as its memory traffic, whichever is more, and everything else is free."""
    return sum(each.times * max(each.flops / peak, each.bytes / bandwidth) for each in found)


def valid_products(
    *, made: int, given: int, kernel: int, stride: int = 1, before: int = 0, hole: int = 1, reach: int = 1
) -> int:
    """Along one axis of a convolution: the products that are neither with padding nor with zeros between elements.

    `made` and `given` elements, `before` of padding, `hole` from one element given to the next (with zeros between),
    `reach` from one element of the kernel to the next.
    """
    place = stride * np.arange(made)[:, None] - before + reach * np.arange(kernel)
    return int(((place >= 0) & (place <= (given - 1) * hole) & (place % hole == 0)).sum())


def _of_jaxpr(jaxpr: Jaxpr) -> Iterator[Product]:
    for equation in jaxpr.eqns:
        yield from _of_equation(equation)


def _of_equation(equation: Any) -> Iterator[Product]:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        yield Product(_dot(equation), _bytes(equation))
    elif name == "conv_general_dilated":
        yield Product(_convolution(equation), _bytes(equation))
    elif name == "cond":
        yield from max((list(_of_jaxpr(branch.jaxpr)) for branch in params["branches"]), key=flops)
    elif inner := [product for jaxpr in inside(params) for product in _of_jaxpr(jaxpr)]:
        if name == "while":
            raise UserError(
                "A loop has dots or convolutions and a number of turns that is only known when it runs, so they cannot "
                "be counted; make it a lax.scan, or a lax.fori_loop between Python numbers."
            )
        # What stands in a shard_map is the work of one device.
        times = params["length"] if name == "scan" else params["mesh"].size if name == "shard_map" else 1
        yield from (replace(product, times=product.times * times) for product in inner)


def inside(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The functions that an equation calls, or may call."""
    for value in params.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, ClosedJaxpr | Jaxpr):
                yield one.jaxpr if isinstance(one, ClosedJaxpr) else one


def _bytes(equation: Any) -> int:
    arrays = [*equation.invars, *equation.outvars]
    return sum(math.prod(array.aval.shape) * array.aval.dtype.itemsize for array in arrays)


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    """2 x batch x features out x features in (of one group) x the products along each axis of the image."""
    params, numbers = equation.params, equation.params["dimension_numbers"]
    given, kernel, made = (array.aval.shape for array in (*equation.invars, *equation.outvars))
    along = [
        valid_products(
            made=made[numbers.out_spec[2 + axis]],
            given=given[numbers.lhs_spec[2 + axis]],
            kernel=kernel[numbers.rhs_spec[2 + axis]],
            stride=params["window_strides"][axis],
            before=params["padding"][axis][0],
            hole=params["lhs_dilation"][axis],
            reach=params["rhs_dilation"][axis],
        )
        for axis in range(len(made) - 2)
    ]
    batch, features = (made[axis] for axis in numbers.out_spec[:2])
    return 2 * batch * features * kernel[numbers.rhs_spec[1]] * math.prod(along)
