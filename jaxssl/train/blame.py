"""Which operation of a program first made, of finite numbers, one that is not, and where it stands in the source.

The program is taken as jax traced it. One compiled call tells which of its values are finite; from a result that is
not, the way leads back through values that are not either, to the operation that was given finite ones. An operation
that is a program of its own (a jitted function, a loop, a branch) is searched in the same way, with what it was given.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

PACKAGE = Path(__file__).parents[1]
NOT_TO_BLAME = (Path(__file__), PACKAGE / "train" / "step.py")
"""Files that every operation comes through."""

FINITE, INFINITE, NAN = 0, 1, 2

MOVES = ("broadcast_in_dim", "copy", "neg", "reshape", "squeeze", "transpose")
"""Operations whose result is as finite as what they are given: looking at fewer values compiles faster."""

HANDED_ON = ("sharding_constraint", "slice", "dynamic_slice")
"""Others that make no number."""


class Blamed(NamedTuple):
    """operation: the primitive's name, or "argument" where what the program was given is not finite. where: our line of
    source. within: the names that jax knows it by, as flax gives them. given: what went in; made: what came out."""

    operation: str
    where: str
    within: str
    given: list[np.ndarray]
    made: list[np.ndarray]
    argument: int | None = None
    """Which argument, counted over the leaves."""


def blame(function: Callable[..., Any], *arguments: Any) -> Blamed | None:
    """The first operation at fault for a result that is not finite; None where all results are.

    >>> blame(lambda x: jnp.sqrt(x - 1).sum(), jnp.float32(0)).operation
    'sqrt'
    """
    program = jax.make_jaxpr(function)(*arguments)
    return _search(program, jax.tree.leaves(arguments))


def _search(program: ClosedJaxpr, arguments: Sequence[Any]) -> Blamed | None:
    """What is at fault within a program. Of arguments that are not finite some may do no harm, as a place that nobody
    knows: they are blamed where an operation handed them on, and not for being there."""
    jaxpr = program.jaxpr
    faults = _faults(program, arguments)
    given = _given_so(jaxpr, faults)
    bad = {v for v, fault in faults.items() if fault} - _meant(jaxpr, faults) - given.keys()
    maker = {v: number for number, equation in enumerate(jaxpr.eqns) for v in equation.outvars}
    sources, seen = [], set()
    pending = [v for v in jaxpr.outvars if not isinstance(v, Literal) and v in bad]
    while pending:
        variable = pending.pop()
        if variable in seen:
            continue
        seen.add(variable)
        before = [v for v in _variables(jaxpr.eqns[maker[variable]]) if v in bad]
        pending += before
        if not before:
            sources.append(maker[variable])
    if sources:
        return _within(program, min(sources), arguments, given)
    handed_on = [v for v in jaxpr.outvars if not isinstance(v, Literal) and v in given]
    return _argument(jaxpr, given[handed_on[0]], arguments) if handed_on else None


def _given_so(jaxpr: Jaxpr, faults: dict[Any, int]) -> dict[Any, Any]:
    """Arguments that are not finite, and what is no more than one of them in another form: each with its argument."""
    given = {v: v for v in jaxpr.invars if faults.get(v)}
    for equation in jaxpr.eqns:
        if equation.primitive.name in (*MOVES, *HANDED_ON):
            given |= {out: given[v] for out in equation.outvars for v in _variables(equation) if v in given}
    return given


def _argument(jaxpr: Jaxpr, variable: Any, arguments: Sequence[Any]) -> Blamed:
    place = jaxpr.invars.index(variable)
    value = np.asarray(arguments[place])
    return Blamed("argument", "", "", [value], [value], place)


def _evaluated(program: ClosedJaxpr, arguments: Sequence[Any], until: int | None = None) -> dict[Any, Any]:
    """Every value of a program by its variable, or those before equation `until`."""
    jaxpr = program.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
    for equation in jaxpr.eqns[:until]:
        known.update(zip(equation.outvars, _made(equation, _given(equation, known)), strict=True))
    return known


def _given(equation: Any, known: dict[Any, Any]) -> list[Any]:
    return [v.val if isinstance(v, Literal) else known[v] for v in equation.invars]


def _made(equation: Any, given: Sequence[Any]) -> list[Any]:
    with equation.ctx.manager:
        made = equation.primitive.bind(*given, **equation.primitive.get_bind_params(equation.params))
    return list(made) if equation.primitive.multiple_results else [made]


def _faults(program: ClosedJaxpr, arguments: Sequence[Any]) -> dict[Any, int]:
    """Of every floating value of a program whether it is finite, holds infinities, or a nan; in one compiled call."""
    jaxpr = program.jaxpr
    same = {e.outvars[0]: e.invars[0] for e in jaxpr.eqns if e.primitive.name in MOVES and _variables(e)}
    made = [v for equation in jaxpr.eqns for v in equation.outvars]
    floating = [v for v in [*jaxpr.constvars, *jaxpr.invars, *made] if jnp.issubdtype(v.aval.dtype, jnp.inexact)]
    asked = [v for v in floating if v not in same]

    @jax.jit
    def looked_at(*arguments: Any) -> list[jax.Array]:
        known = _evaluated(program, arguments)
        codes = [jnp.where(jnp.isnan(known[v]), NAN, jnp.where(jnp.isinf(known[v]), INFINITE, FINITE)) for v in asked]
        return [code.max(initial=FINITE) for code in codes]

    found = dict(zip(asked, map(int, jax.device_get(looked_at(*arguments))), strict=True))
    for variable in floating:  # in the order of the program: what is moved is known by then
        if variable in same:
            found[variable] = found[same[variable]]
    return found


def _meant(jaxpr: Jaxpr, faults: dict[Any, int]) -> set[Any]:
    """Variables whose infinities were written so, as a maximum begins with, and what was made of them without a nan."""
    meant = {v for v in jaxpr.constvars if faults.get(v) == INFINITE}
    for equation in jaxpr.eqns:
        infinite = [v for v in _variables(equation) if faults.get(v)]
        written = [v for v in equation.invars if isinstance(v, Literal) and not np.all(np.isfinite(_floating(v.val)))]
        if (infinite or written) and all(v in meant for v in infinite):
            meant.update(v for v in equation.outvars if faults.get(v) == INFINITE)
    return meant


def _floating(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.inexact) else np.zeros(())


def _variables(equation: Any) -> list[Any]:
    return [v for v in equation.invars if not isinstance(v, Literal)]


def _within(program: ClosedJaxpr, number: int, arguments: Sequence[Any], not_finite: dict[Any, Any]) -> Blamed:
    """The equation itself, or one of its inner program, or the argument that it was given."""
    equation, jaxpr = program.jaxpr.eqns[number], program.jaxpr
    given = jax.jit(lambda *args: _given(equation, _evaluated(program, args, number)))(*arguments)
    for inner, inner_given in _inner(equation, given):
        if found := _search(inner, inner_given):
            if found.argument is None:
                return found._replace(where=found.where or _line(equation), within=found.within or _names(equation))
            handed = equation.invars[len(given) - len(inner_given) + found.argument]
            if handed in not_finite:
                return _argument(jaxpr, not_finite[handed], arguments)
            break
    for variable in _variables(equation):
        if variable in not_finite:
            return _argument(jaxpr, not_finite[variable], arguments)
    made = [np.asarray(value) for value in _made(equation, given)]
    shown = [np.asarray(value) for value in given if not jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)]
    return Blamed(equation.primitive.name, _line(equation), _names(equation), shown, made)


def _inner(equation: Any, given: Sequence[Any]) -> Iterator[tuple[ClosedJaxpr, Sequence[Any]]]:
    """The programs within an equation, in the order in which they run, with what each is given."""
    name = equation.primitive.name
    if name == "scan":
        yield from _turns(equation, given)
    elif name == "cond":
        yield equation.params["branches"][int(given[0])], given[1:]
    elif name not in ("while", "shard_map"):  # of these the line must do
        for value in equation.params.values():
            inner = ClosedJaxpr(value, []) if isinstance(value, Jaxpr) and not value.constvars else value
            if isinstance(inner, ClosedJaxpr) and len(inner.jaxpr.invars) == len(given):
                yield inner, given


def _turns(equation: Any, given: Sequence[Any]) -> Iterator[tuple[ClosedJaxpr, Sequence[Any]]]:
    """The turns of a scan. What it carries and what it goes through is told by the shapes, in every version of jax."""
    body = equation.params["jaxpr"]
    carried = sum(a.aval.shape == b.aval.shape for a, b in zip(body.jaxpr.outvars, equation.outvars, strict=True))
    through = sum(a.aval.shape != b.aval.shape for a, b in zip(body.jaxpr.invars, equation.invars, strict=True))
    fixed = len(given) - carried - through
    constants, carry, rows = given[:fixed], given[fixed : fixed + carried], given[fixed + carried :]
    turns = range(equation.params["length"])
    for turn in reversed(turns) if equation.params["reverse"] else turns:
        inputs = [*constants, *carry, *(row[turn] for row in rows)]
        yield body, inputs
        carry = jax.jit(lambda *args: [_value(v, _evaluated(body, args)) for v in body.jaxpr.outvars])(*inputs)[
            :carried
        ]


def _value(variable: Any, known: dict[Any, Any]) -> Any:
    return variable.val if isinstance(variable, Literal) else known[variable]


def _line(equation: Any) -> str:
    """The innermost line of ours."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback else ():
        path = Path(frame.file_name)
        if path.is_relative_to(PACKAGE) and path not in NOT_TO_BLAME:
            return f"{path.relative_to(PACKAGE.parent)}:{frame.line_num}, in {frame.function_name}"
    return ""


def _names(equation: Any) -> str:
    return str(equation.source_info.name_stack)
