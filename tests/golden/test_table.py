"""Values of other people's public code: equal, equal after a stated factor, or different by definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden.rows import Loss, numbers
from golden.table import LEFT_OUT, MADE, SAID, TABLE

THEIRS = {key: numbers(value) for key, value in {**MADE, **SAID}.items()}
EQUAL = [key for key, row in TABLE.items() if row.verdict != "must differ"]
DIFFERENT = [key for key, row in TABLE.items() if row.verdict == "must differ"]
LOSSES = {
    ours: f"{key}-{way}"
    for key, row in reversed(TABLE.items())
    for way, ours in enumerate((row.ours, *row.also))
    if isinstance(ours, Loss)
}


@pytest.mark.parametrize("key", EQUAL)
def test_ours_is_theirs(key):
    row = TABLE[key]
    theirs = THEIRS[key][row.part]
    for ours in (row.ours, *row.also):
        # Beside a value of 1 differences of 1e-7 cannot be seen.
        np.testing.assert_allclose(row.factor * numbers(ours()), theirs, rtol=row.tolerance, atol=1e-7)


@pytest.mark.parametrize("key", DIFFERENT)
def test_ours_differs_where_it_must_and_is_theirs_elsewhere(key):
    row, theirs = TABLE[key], np.atleast_1d(THEIRS[key])
    ours, others = (np.atleast_1d(numbers(value())) for value in (row.ours, row.theirs))
    np.testing.assert_allclose(others, theirs, rtol=row.tolerance, err_msg="the reason given does not give their value")
    differs = np.zeros(theirs.shape, bool)
    differs[row.part] = True
    assert np.all(np.abs(ours - theirs)[differs] > 1e-3 * np.abs(theirs)[differs])
    np.testing.assert_allclose(ours[~differs], theirs[~differs], rtol=row.tolerance)


@pytest.mark.parametrize("loss", LOSSES, ids=list(LOSSES.values()))
def test_the_gradient_of_ours_is_the_slope_of_its_values(loss):
    """In float64, along a direction in which every entry of every input moves."""
    with jax.enable_x64(True):
        inputs = [jnp.asarray(x, jnp.float64) for x in loss.inputs]
        direction = [jnp.cos(1.7 * jnp.arange(x.size) + i).reshape(x.shape) for i, x in enumerate(inputs)]
        _, gradients = loss.compiled(*inputs)
        ahead, behind = (
            loss.compiled(*(x + step * d for x, d in zip(inputs, direction, strict=True)))[0] for step in (1e-5, -1e-5)
        )
        along = sum(float(jnp.vdot(g, d)) for g, d in zip(gradients, direction, strict=True))
    assert along == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-6, abs=1e-8)


def test_every_value_is_spoken_for_once():
    assert set(TABLE).isdisjoint(LEFT_OUT)
    assert set(THEIRS) == {*TABLE, *LEFT_OUT}


def test_what_is_not_simply_equal_has_a_reason_and_a_factor_is_one():
    for key, row in TABLE.items():
        assert (row.factor != 1) == (row.verdict == "equal after"), key
        assert row.because or row.verdict == "equal", key
    assert all(LEFT_OUT.values())
