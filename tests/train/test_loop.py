"""Dispatches of several steps end where hooks log and save, wherever the run before was stopped."""

import itertools

import jax
import numpy as np
import pytest

from jaxssl.train.loop import run_steps
from jaxssl.train.mesh import make_mesh


@pytest.mark.parametrize(
    ("start", "ends"), [(0, [10, 20, 30, 32]), (7, [10, 20, 30, 32]), (30, [32]), (31, [32]), (32, [])]
)
def test_a_run_that_stopped_within_a_dispatch_comes_back_to_its_multiples(start, ends):
    seen, ticks = [], []

    def dispatch(state, batches):
        seen.extend(np.asarray(batches["id"])[:, 0].tolist())
        return state, {}

    batches = ({"id": np.array([number])} for number in itertools.count(start))
    mesh = make_mesh(jax.devices()[:1])
    run_steps(dispatch, None, batches, mesh, start, 32, 10, [lambda tick: ticks.append(tick.step)])  # type: ignore[arg-type]
    assert ticks == ends
    assert seen == list(range(start, 32))


def test_the_seconds_that_hooks_add_as_no_training_are_summed_up():
    told = []

    def probe(tick):
        tick.probed += 5.0

    batches = ({"id": np.array([number])} for number in itertools.count())
    hooks = [probe, lambda tick: told.append(tick.probed)]
    run_steps(lambda state, _: (state, {}), None, batches, make_mesh(jax.devices()[:1]), 0, 3, 1, hooks)  # type: ignore[arg-type]
    assert told == [5.0, 10.0, 15.0]
