"""Reads the text of an optimised HLO module: computations, and the instructions in them.

The text is what `jax.stages.Compiled.as_text` gives; the same module as a protobuf wants XLA's own bindings to be read.
"""

import math
import re
from dataclasses import dataclass

_COMPUTATION = re.compile(r"(ENTRY )?%([\w.-]+) .*\{$")
# An opcode is the first word after `=` that a parenthesis follows directly.
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%([\w.-]+) = (.*?) ?\b([a-z][\w-]*)\(([^)]*)\)(.*)")
_CALLS = re.compile(
    r"\b(?:calls|to_apply|body|true_computation|false_computation|branch_computations)=(%[\w.-]+|{[^}]*})"
)


@dataclass(frozen=True)
class Array:
    """Type and sizes of an array."""

    dtype: str
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        bits = re.match(r"[a-z]+?(\d+)", self.dtype)  # f32, bf16, f8e4m3fn, s4; pred has none
        return math.ceil(math.prod(self.sizes) * int(bits[1] if bits else 8) / 8)


@dataclass(frozen=True)
class Instruction:
    """One line of a computation: `%name = result opcode(%operand, ...), attributes`; a tuple is several arrays."""

    name: str
    result: tuple[Array, ...]
    opcode: str
    operands: tuple[str, ...]
    attributes: str

    @property
    def called(self) -> list[str]:
        """Names of the computations that it runs; of a `while` its body."""
        return [name for names in _CALLS.findall(self.attributes) for name in re.findall(r"%([\w.-]+)", names)]

    @property
    def trip_count(self) -> int | None:
        """How often a `while` turns, where the compiler knows."""
        found = re.search(r'"known_trip_count":{"n":"(\d+)"}', self.attributes)
        return int(found[1]) if found else None

    def value(self, attribute: str) -> str:
        """What stands behind `attribute=`, without braces; empty where there is no such attribute."""
        found = re.search(rf"\b{attribute}=(?:{{([^}}]*)}}|([^\s,]+))", self.attributes)
        return (found[1] or found[2] or "") if found else ""


@dataclass(frozen=True)
class Module:
    """Computations by name, each a dict of its instructions by name; `entry` is where the program begins."""

    entry: str
    computations: dict[str, dict[str, Instruction]]


def parse(text: str) -> Module:
    """The module that a text describes."""
    entry, computations, body = "", {}, {}
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            body = computations[head[2]] = {}
            entry = head[2] if head[1] else entry
        elif found := _INSTRUCTION.match(line):
            name, result, opcode, operands, attributes = found.groups()
            arrays = tuple(_array(*one) for one in re.findall(r"(\w+)\[([^]]*)\]", result))
            body[name] = Instruction(name, arrays, opcode, tuple(re.findall(r"%([\w.-]+)", operands)), attributes)
    return Module(entry, computations)


def _array(dtype: str, sizes: str) -> Array:
    return Array(dtype, tuple(map(int, re.findall(r"\d+", sizes))))
