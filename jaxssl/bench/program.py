"""What one device of a compiled program does: floating-point operations, collectives, and bytes of memory.

Read from the partitioned and optimised program, whose shapes are those of one device. XLA's own `cost_analysis` goes
through the body of a loop once; here a body counts as often as its loop turns.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import jax

from jaxssl.bench.hlo import Array, Instruction, parse
from jaxssl.bench.products import valid_products
from jaxssl.errors import UserError

COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute", "all-to-all")
LIBRARY = re.compile(r"matmul|gemm|conv", re.IGNORECASE)
"""Custom calls whose arithmetic cannot be seen: oneDNN's on a CPU, cuBLAS's and cuDNN's on a GPU."""

T = TypeVar("T")
Work = Counter[tuple[str, str]]
"""Numbers by what is counted and of what: ("flops", "dot"), ("count", "all-gather"), ("bytes", "all-gather")."""


@dataclass(frozen=True)
class Collective:
    """Exchanges of one kind: how many, and the bytes of the arrays exchanged."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes on one device: of what the program is given, of what it returns (in place or not), and needed meanwhile."""

    argument: int
    output: int
    temporary: int


def flops(compiled: jax.stages.Compiled) -> int:
    """Operations of one device in dots and convolutions, 2 for each product that is summed.

    Products with a convolution's padding, or with zeros put between elements for a gradient, are not counted, so that
    a convolution and either of its gradients have the same number. Of a conditional the dearest branch counts. Small
    products that the compiler turns into sums of elementwise ones (a vector by a vector) are not seen.
    """
    return sum(number for (what, _), number in work(_told(compiled.as_text())).items() if what == "flops")


def collectives(compiled: jax.stages.Compiled) -> dict[str, Collective]:
    """What one device exchanges with the others, by kind.

    The bytes are those of the larger side: what an all-gather gives, what a reduce-scatter is given.
    """
    done = work(_told(compiled.as_text()))
    return {kind: Collective(done["count", kind], done["bytes", kind]) for kind in COLLECTIVES if done["count", kind]}


def memory(compiled: jax.stages.Compiled) -> Memory:
    """XLA's account of one device's memory."""
    stats = _told(compiled.memory_analysis())
    return Memory(stats.argument_size_in_bytes, stats.output_size_in_bytes, stats.temp_size_in_bytes)


def _told(value: T | None) -> T:
    if value is None:
        raise UserError("This backend tells neither text nor memory of a compiled program; count on a CPU.")
    return value


def work(text: str) -> Work:
    """All that a program does, from the text of its optimised module."""
    module = parse(text)

    @cache
    def of_computation(name: str) -> Work:
        body = module.computations[name]
        return sum((of_instruction(one, body) for one in body.values()), Work())

    def of_instruction(one: Instruction, body: dict[str, Instruction]) -> Work:
        called = [of_computation(name) for name in one.called]
        if one.opcode == "while":
            return _repeated(one, called[0])
        if one.opcode == "conditional":
            return max(called, key=Work.total)
        return sum(called, _own_work(one, [array for name in one.operands for array in body[name].result]))

    return of_computation(module.entry)


def _own_work(one: Instruction, given: list[Array]) -> Work:
    """What an instruction does itself."""
    # An asynchronous collective counts where it starts; its result repeats what it was given before what it makes.
    kind = one.opcode.removesuffix("-start")
    if kind in COLLECTIVES:
        made = one.result if len(one.result) == len(given) else one.result[len(given) : 2 * len(given)]
        return Work({("count", kind): 1, ("bytes", kind): max(_bytes(given), _bytes(made))})
    if one.opcode == "dot":
        return Work({("flops", "dot"): _dot(one, given[0])})
    if one.opcode == "convolution":
        return Work({("flops", "convolution"): _convolution(one, *given)})
    if one.opcode == "custom-call" and LIBRARY.search(target := one.value("custom_call_target")):
        raise UserError(f"{one.name} calls {target}, whose FLOPs cannot be read from the program: count on a CPU.")
    return Work()


def _repeated(loop: Instruction, body: Work) -> Work:
    if not body:
        return body
    if loop.trip_count is None:
        raise UserError(
            f"{loop.name} is a loop with dots, convolutions or collectives whose number of turns is only known when it "
            "runs, so they cannot be counted; make it a lax.scan, or a lax.fori_loop between Python numbers."
        )
    return Work({key: number * loop.trip_count for key, number in body.items()})


def _bytes(arrays: list[Array] | tuple[Array, ...]) -> int:
    return sum(array.bytes for array in arrays)


def _dot(one: Instruction, left: Array) -> int:
    contracted = (left.sizes[int(axis)] for axis in re.findall(r"\d+", one.value("lhs_contracting_dims")))
    return 2 * math.prod(one.result[0].sizes) * math.prod(contracted)


def _convolution(one: Instruction, image: Array, kernel: Array) -> int:
    """2 x batch x features out x features in (of one group) x the products along each axis of the image."""
    names = re.split("_|->", one.value("dim_labels"))  # b01f, 01io, b01f
    arrays = (image, kernel, one.result[0])
    of_image, of_kernel, made = (dict(zip(axes, a.sizes, strict=True)) for axes, a in zip(names, arrays, strict=True))
    window = {name: value.split("x") for name, value in re.findall(r"(\w+)=(\S+)", one.value("window"))}

    def along(axis: str) -> int:
        def of_window(name: str, default: int) -> int:
            return int(window[name][int(axis)].split("_")[0]) if name in window else default

        return valid_products(
            made=made[axis],
            given=of_image[axis],
            kernel=of_kernel[axis],
            stride=of_window("stride", 1),
            before=of_window("pad", 0),
            hole=of_window("lhs_dilate", 1),
            reach=of_window("rhs_dilate", 1),
        )

    axes = [axis for axis in names[0] if axis.isdigit()]
    return 2 * made["b"] * made["f"] * of_kernel["i"] * math.prod(map(along, axes))
