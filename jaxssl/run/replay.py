"""`replay`: a step that was left out, taken again on one device, and the first operation that made it so."""

from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console

from jaxssl.errors import UserError
from jaxssl.run.dump import Dump, read_dump
from jaxssl.run.terminal import console_of, warner
from jaxssl.train.blame import Blamed, blame
from jaxssl.train.fingerprint import named
from jaxssl.train.mesh import make_mesh
from jaxssl.train.step import masked_gradient
from jaxssl.train.stored import brief


def replay(dump: Annotated[Path, tyro.conf.Positional]) -> str:
    """Repeat in float32 a step whose loss or gradient was not finite, and name the first operation at fault.

    >>> small = {"data.store": "stores/hearts", "data.layout.size": (16, 12), "data.layout.spacing": 8.0}
    >>> far = {"optim.name": "sgd", "optim.lr": 1e30, "train.max_skipped": 2, "train.steps": 12}
    >>> jaxssl.pretrain("mim:tiny", "runs/far", {**small, **far})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    jaxssl.errors.UserError: ...
    >>> print(jaxssl.replay("runs/far/not-finite-2"))  # doctest: +ELLIPSIS
    Step 3 is not finite in float32 either...

    Args:
        dump: The folder that the run named when it stopped.
    """
    found = _said(read_dump(Path(dump), warner(console_of(None))))
    Console(soft_wrap=True, highlight=False, markup=False).print(found)
    return found


def _said(dump: Dump) -> str:
    step = f"Step {int(dump.state.step) + 1}"
    if blamed := _blamed(dump, "float32"):
        return f"{step} is not finite in float32 either. {_sentence(blamed, dump)}"
    precision = dump.recipe.train.precision
    if precision == "float32":
        return (
            f"{step} is finite when it is taken again here: the fault lies in other hardware or another version of "
            "jax, or in the data as they were that time."
        )
    if blamed := _blamed(dump, precision):
        return f"{step} is finite in float32 (--train.precision float32). In {precision}: {_sentence(blamed, dump)}"
    return f"{step} is finite here in float32 and in {precision}: the fault lies in other hardware or in its data."


def _blamed(dump: Dump, dtype: str) -> Blamed | None:
    mesh, method = make_mesh(jax.devices()[:1]), dump.method(dtype)

    def decisive(state: Any, batch: Any) -> tuple[jax.Array, Any, jax.Array]:
        loss, _, _, gradient, _, norm = masked_gradient(method, dump.schedule, mesh, state, batch)
        return loss, gradient, norm

    try:
        jax.eval_shape(decisive, dump.state, dump.batch)
    except Exception as error:  # whatever a method says of parameters with other names or shapes
        raise UserError(
            f"The step cannot be taken again by this version of jaxssl ({brief(error)}); use the one that the run was "
            "made with."
        ) from error
    return blame(decisive, dump.state, dump.batch)


def _sentence(blamed: Blamed, dump: Dump) -> str:
    """What was given and what came of it, in one line."""
    if blamed.argument is not None:
        name = [*named({"state": dump.state}), *named({"batch": dict(dump.batch)})][blamed.argument]
        where = [int(place) for place in np.argwhere(~np.isfinite(blamed.given[0].astype(np.float64)))[0]]
        return f"{name} is not finite itself, first at {where}: look at the data, or at what the run was started from."
    made = " and ".join(_numbers(value) for value in blamed.made)
    given = " and ".join(_numbers(value) for value in blamed.given)
    within = f" ({blamed.within})" if blamed.within else ""
    return f"The first operation at fault is {blamed.operation} at {blamed.where}{within}: of {given} it made {made}."


def _numbers(array: np.ndarray) -> str:
    """Type, shape, and the range of the finite numbers."""
    kind = f"{array.dtype}{list(array.shape)}"
    if not jnp.issubdtype(array.dtype, jnp.inexact) or not array.size:
        return kind
    values = array.astype(np.float64)
    finite = np.isfinite(values)
    span = f" from {values[finite].min():.4g} to {values[finite].max():.4g}" if finite.any() else ""
    bad = int(np.count_nonzero(~finite))
    return f"{kind}{span}{f', {bad} of {array.size} not finite' if bad else ''}"
