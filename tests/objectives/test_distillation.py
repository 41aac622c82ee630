"""Losses of a student and its teacher: by hand, by their laws, and at the ends of what float32 can hold.

What other people's code gives for them stands in the table of golden values.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counts import temporary_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxssl import objectives

# Compiled: one program a shape instead of one an operation.
centre_softmax, dino_loss, koleo_loss, masked_patch_loss, regression_loss = map(
    jax.jit,
    (
        objectives.centre_softmax,
        objectives.dino_loss,
        objectives.koleo_loss,
        objectives.masked_patch_loss,
        objectives.regression_loss,
    ),
)
sinkhorn = jax.jit(objectives.sinkhorn, static_argnums=2)

seeds = st.integers(0, 10_000)
examples = settings(max_examples=15, deadline=None)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def normal(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize(("angle", "expected"), [(0, 0.0), (60, 1.0), (90, 2.0), (180, 4.0)])
def test_regression_is_two_less_two_cosines_whatever_the_lengths(angle, expected):
    angle = np.deg2rad(angle)
    predictions = 1e18 * jnp.array([[1.0, 0.0], [0.0, 1.0]])
    targets = 1e-18 * jnp.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(regression_loss(predictions, targets), expected, atol=1e-6)


def test_regression_moves_predictions_only_and_along_the_sphere(float64):
    predictions, targets = (jnp.asarray(normal(2, 5, 4, seed=s), jnp.float64) for s in (0, 1))
    of_predictions, of_targets = jax.jit(jax.grad(regression_loss, argnums=(0, 1)))(predictions, targets)
    assert not of_targets.any()
    assert jnp.abs(of_predictions).min() > 0
    np.testing.assert_allclose((of_predictions * predictions).sum(-1), 0, atol=1e-12)
    check_grads(jax.jit(lambda x: regression_loss(x, targets)), (predictions,), 1, ["rev"])


def test_regression_of_a_row_of_zeros_is_finite():
    loss, gradient = jax.jit(jax.value_and_grad(regression_loss))(jnp.zeros((2, 3)), jnp.ones((2, 3)))
    assert loss == 2
    assert jnp.isfinite(gradient).all()


@examples
@given(seed=seeds, shift=st.floats(-100, 100), temperature=st.sampled_from([0.01, 0.04, 1.0]))
def test_a_centre_shifts_logits_and_a_shift_of_all_does_nothing(seed, shift, temperature):
    logits, centre = normal(2, 3, 6, seed=seed), normal(6, seed=seed + 1)
    found = centre_softmax(logits, centre, temperature)
    wanted = softmax((logits.astype(np.float64) - centre) / temperature)
    np.testing.assert_allclose(found, wanted, atol=2e-6 / temperature)
    np.testing.assert_allclose(centre_softmax(logits + shift, centre, temperature), found, atol=1e-4 / temperature)


def plain_sinkhorn(logits, temperature, iterations):
    """As it is published, without logarithms, in float64: a matrix scaled by columns and by rows in turn."""
    outputs = logits.shape[-1]
    matrix = np.exp(np.float64(logits).reshape(-1, outputs) / temperature)
    for _ in range(iterations):
        matrix = matrix / matrix.sum(0, keepdims=True) / outputs
        matrix = matrix / matrix.sum(1, keepdims=True) / len(matrix)
    return (matrix * len(matrix)).reshape(logits.shape)


@examples
@given(seed=seeds, temperature=st.sampled_from([0.05, 0.07, 1.0]), iterations=st.integers(1, 5))
def test_sinkhorn_is_the_published_one_over_both_views_jointly(seed, temperature, iterations):
    logits = normal(2, 4, 5, seed=seed)
    found = sinkhorn(logits, temperature, iterations)
    np.testing.assert_allclose(found, plain_sinkhorn(logits, temperature, iterations), atol=2e-5)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    each = jnp.stack([sinkhorn(view, temperature, iterations) for view in logits])
    assert jnp.abs(found - each).max() > 1e-3


@examples
@given(seed=seeds)
def test_sinkhorn_ends_in_balance_and_takes_no_heed_of_what_all_rows_prefer(seed):
    rng = np.random.default_rng(seed)
    logits, order = normal(2, 6, 4, seed=seed), rng.permutation(6)
    balanced = sinkhorn(logits, 1.0, 200)
    np.testing.assert_allclose(balanced.sum((0, 1)), 12 / 4, rtol=1e-4)
    preferred = 10 * rng.normal(size=4).astype(np.float32)
    np.testing.assert_allclose(sinkhorn(logits + preferred, 1.0), sinkhorn(logits, 1.0), atol=2e-5)
    np.testing.assert_allclose(sinkhorn(logits[:, order], 1.0), sinkhorn(logits, 1.0)[:, order], atol=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_targets_at_extreme_logits_are_probabilities(size):
    logits = normal(2, 8, 16, scale=size)
    logits[0, 0] = 0
    logits[1, 1] = logits[1, 0]
    logits[:, :, 3] = -size
    for probs in (sinkhorn(logits, 0.02), centre_softmax(logits, logits.mean((0, 1)), 0.02)):
        np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
        assert (probs >= 0).all()


def looped_dino_loss(student, probs, temperature):
    losses = []
    for v in range(len(student)):
        for u in range(len(probs)):
            if v != u:
                log_probs = np.log(softmax(student[v] / temperature))
                losses.append(-(probs[u] * log_probs).sum(-1).mean())
    return np.mean(losses)


@pytest.mark.parametrize(("views", "teachers"), [(2, 2), (5, 2), (2, 1), (2, 3)])
def test_dino_loss_is_the_mean_over_pairs_of_different_views(views, teachers, float64):
    student = np.random.default_rng(0).normal(size=(views, 3, 6))
    probs = softmax(np.random.default_rng(1).normal(size=(teachers, 3, 6)))
    found = dino_loss(jnp.asarray(student), jnp.asarray(probs), temperature=0.3)
    np.testing.assert_allclose(found, looped_dino_loss(student, probs, 0.3), rtol=1e-12)


def test_dino_loss_pulls_on_the_student_only(float64):
    student, probs = jnp.asarray(normal(3, 2, 5), jnp.float64), jnp.asarray(softmax(normal(2, 2, 5, seed=1)))
    of_student, of_teacher = jax.jit(jax.grad(dino_loss, argnums=(0, 1)))(student, probs)
    assert jnp.abs(of_student).max() > 0
    assert not of_teacher.any()
    check_grads(jax.jit(lambda x, t: dino_loss(x, probs, temperature=t)), (student, 0.3), 1, ["rev"])


@pytest.mark.parametrize(("batch", "outputs"), [(3, 64), (64, 4096)])
def test_uniform_student_and_teacher_lose_the_logarithm_of_the_outputs(batch, outputs):
    student, teacher = jnp.zeros((4, batch, outputs)), jnp.full((2, batch, outputs), 1 / outputs)
    np.testing.assert_allclose(dino_loss(student, teacher), np.log(outputs), rtol=1e-6)


def test_dino_loss_at_extreme_logits_is_finite_and_so_is_its_gradient():
    student, probs = normal(4, 6, 16, scale=1e30), sinkhorn(normal(2, 6, 16, scale=1e30, seed=1), 0.04)
    loss, gradient = jax.jit(jax.value_and_grad(dino_loss))(student, probs)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_half_precision_is_lifted_before_any_arithmetic():
    student, teacher = (jnp.asarray(normal(2, 3, 6, seed=s), jnp.bfloat16) for s in (0, 1))
    wide = jnp.float32

    def loss(student, teacher):
        return dino_loss(student, sinkhorn(teacher, 0.05)) + dino_loss(
            student, centre_softmax(teacher, teacher[0, 0], 0.05)
        )

    found = loss(student, teacher)
    assert found == loss(student.astype(wide), teacher.astype(wide))
    assert found.dtype == wide
    assert koleo_loss(student[0]) == koleo_loss(student[0].astype(wide))


def test_a_view_with_nothing_to_be_compared_with_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        dino_loss(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 3)))


@pytest.mark.parametrize("iterations", [0, -1])
def test_no_balance_at_all_is_refused(iterations):
    with pytest.raises(ValueError, match=f"at least 1 iteration, not {iterations}"):
        sinkhorn(jnp.ones((2, 3)), 0.1, iterations)


def test_masked_patches_count_by_image():
    student, probs = normal(3, 4, 5), softmax(normal(3, 4, 5, seed=1))
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    losses = -(probs * np.log(softmax(student / 0.2))).sum(-1)
    wanted = (losses[0, [0, 2, 3]].mean() + losses[1, 1] + 0) / 3
    found, (of_student, of_teacher) = jax.jit(jax.value_and_grad(masked_patch_loss, argnums=(0, 1)))(
        student, probs, mask, temperature=0.2
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_array_equal(np.abs(of_student).max(-1) > 0, mask > 0)
    assert not of_teacher.any()


def test_where_nothing_is_hidden_nothing_is_lost():
    loss, gradient = jax.jit(jax.value_and_grad(masked_patch_loss))(
        normal(2, 3, 4), softmax(normal(2, 3, 4)), np.zeros((2, 3), int)
    )
    assert loss == 0
    assert not gradient.any()


def looped_koleo(rows):
    rows = np.float64(rows) / np.linalg.norm(rows, axis=-1, keepdims=True)
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=-1) + np.diag(np.full(len(rows), np.inf))
    return -np.log(apart.min(1)).mean()


@examples
@given(seed=seeds, scale=st.sampled_from([1e-10, 1.0, 1e10]))
def test_koleo_is_the_distance_to_the_nearest_whatever_the_lengths_and_the_order(seed, scale):
    rng, rows = np.random.default_rng(seed), normal(9, 4, seed=seed)
    np.testing.assert_allclose(koleo_loss(scale * rows), looped_koleo(rows), rtol=1e-4, atol=1e-4)
    turned = rows[rng.permutation(9)] @ np.linalg.qr(rng.normal(size=(4, 4)))[0].astype(np.float32)
    np.testing.assert_allclose(koleo_loss(turned), koleo_loss(rows), rtol=1e-4, atol=1e-4)


def test_koleo_gradient_is_that_of_finite_differences(float64):
    check_grads(koleo_loss, (jnp.asarray(normal(6, 4), jnp.float64),), 1, ["rev"])


def test_koleo_pushes_neighbours_apart():
    rows = jnp.array([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.5]])
    moved = rows - 0.01 * jax.jit(jax.grad(koleo_loss))(rows)
    assert jnp.linalg.norm(moved[0] - moved[1]) > jnp.linalg.norm(rows[0] - rows[1])


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((4, 4), np.float32),
        np.zeros((4, 4), np.float32),
        np.eye(4, dtype=np.float32)[[0, 0, 1, 2]] * 1e20,
        normal(1, 4) + 3e-8 * normal(5, 4, seed=1),
    ],
    ids=["duplicates", "zeros", "a pair alike", "nearer than rounding"],
)
def test_koleo_of_rows_alike_is_finite_and_its_gradient_is_small(rows):
    loss, gradient = jax.jit(jax.value_and_grad(koleo_loss))(jnp.asarray(rows))
    assert np.isfinite(loss)
    assert jnp.abs(gradient).max() < 10


def test_koleo_takes_more_rows_than_it_compares_at_a_time():
    rows = normal(700, 3)
    np.testing.assert_allclose(koleo_loss(rows), looped_koleo(rows), rtol=1e-4)
    assert temporary_bytes(objectives.koleo_loss, np.ones((4096, 3), np.float32)) < 4096 * 4096 * 4 / 4
