"""How many bytes a traced function needs meanwhile, on any backend and at any size: nothing is compiled.

What is given and what is returned is not counted; between them an array lies in memory from where it is made to where
it is read last. What XLA fuses is no array: an elementwise value that one reader takes, and that reader no kernel of
its own, is never written. The order is the traced one, which a compiler may better or worsen.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import Jaxpr, Literal
from jax.interpreters.partial_eval import dce_jaxpr

from jaxssl.bench.products import inside

SPREAD = (0.67, 1.17)
"""The estimate over XLA's own account on a CPU, float32, of 12 recipes and variants from tiny to ViT-B: least and most,
rounded outwards (.68, 1.165). XLA undoes `remat` on a CPU outside a scan, so that such are not among them."""

CALLS = {"jit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint", "shard_map"}
"""What is called stands where the call stood."""
WHOLE = {
    "dot_general", "conv_general_dilated", "sort", "gather", "scatter", "scatter-add", "cumsum", "cumlogsumexp",
    "cummax", "cumprod", "top_k", "reduce_window_max", "select_and_scatter_add", "scan", "while", "cond",
    "optimization_barrier",
}  # fmt: skip
"""Kernels of their own: operands and results lie in memory."""
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"}
"""What they read may be fused into them, and what they make lies in memory."""
FREE = {
    "broadcast_in_dim", "iota", "reshape", "convert_element_type", "squeeze", "expand_dims", "transpose", "slice",
    "copy", "bitcast_convert_type", "rev", "pad", "stop_gradient",
}  # fmt: skip
"""So cheap that every reader makes them for itself."""


@dataclass(frozen=True)
class Kernel:
    """One equation: numbers of the arrays that it reads and makes, and the bytes that its own body needs meanwhile."""

    name: str
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    body: int = 0


def temporary_bytes(function: Callable, *arguments: Any) -> int:
    """The most that lives at once between what the function is given and what it returns."""
    traced = jax.make_jaxpr(function)(*arguments).jaxpr
    needed, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
    return _of_jaxpr(needed)


def peak(kernels: list[Kernel], sizes: list[int], returned: set[int]) -> int:
    """The same of kernels in their order, with arrays of these sizes; arrays that no kernel makes are given."""
    readers: dict[int, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        for array in kernel.reads:
            readers[array].append(kernel)
    fused = {array for one in kernels for array in one.makes if array not in returned and _fuses(one, readers[array])}
    last = _last_reads(kernels, fused)
    ends: dict[int, list[int]] = defaultdict(list)
    for array, place in last.items():
        ends[place].append(array)
    alive: dict[int, int] = {}
    total = most = 0
    for place, kernel in enumerate(kernels):
        made = {array: sizes[array] for array in kernel.makes if array not in fused and array not in returned}
        freed = sum(alive.pop(array) for array in ends[place] if array in alive)
        # An elementwise kernel may write over what it is the last to read.
        least = max(0, sum(made.values()) - (0 if kernel.name in WHOLE else freed))
        most = max(most, total + kernel.body + least)
        kept = {array: size for array, size in made.items() if array in last}
        alive |= kept
        total += sum(kept.values()) - freed
    return most


def _fuses(kernel: Kernel, readers: list[Kernel]) -> bool:
    """Whether what it makes is never written to memory."""
    if kernel.name in WHOLE | REDUCTIONS or any(reader.name in WHOLE for reader in readers):
        return False
    return kernel.name in FREE or len(readers) == 1


def _last_reads(kernels: list[Kernel], fused: set[int]) -> dict[int, int]:
    """Where each array is read last; what a fused value is made of is read where that value is."""
    last: dict[int, int] = {}
    for place in reversed(range(len(kernels))):
        kernel = kernels[place]
        until = max((last.get(made, place) for made in kernel.makes if made in fused), default=place)
        for array in kernel.reads:
            last[array] = max(last.get(array, 0), until)
    return last


def _of_jaxpr(jaxpr: Jaxpr) -> int:
    flat = _Flat([], [])
    given = [flat.array(0) for _ in (*jaxpr.invars, *jaxpr.constvars)]
    returned = flat.inline(jaxpr, given)
    return peak(flat.kernels, flat.sizes, set(returned))


@dataclass(frozen=True)
class _Flat:
    """A traced function with its calls resolved; arrays have numbers, by which their sizes are found."""

    kernels: list[Kernel]
    sizes: list[int]

    def array(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def inline(self, jaxpr: Jaxpr, given: list[int]) -> list[int]:
        number = dict(zip((*jaxpr.invars, *jaxpr.constvars), given, strict=True))

        def numbers(values: list[Any]) -> list[int]:
            return [self.array(0) if isinstance(value, Literal) else number[value] for value in values]

        for equation in jaxpr.eqns:
            reads, bodies, name = numbers(equation.invars), list(inside(equation.params)), equation.primitive.name
            if name in CALLS:
                called = bodies[0]
                made = self.inline(called, [*reads, *(self.array(0) for _ in called.constvars)])
            else:
                made = [self.array(_bytes(value.aval)) for value in equation.outvars]
                body = max(map(_of_jaxpr, bodies), default=0)
                self.kernels.append(Kernel(name, tuple(reads), tuple(made), body))
            number.update(zip(equation.outvars, made, strict=True))
        return numbers(jaxpr.outvars)


def _bytes(array: Any) -> int:
    return array.size * array.dtype.itemsize
