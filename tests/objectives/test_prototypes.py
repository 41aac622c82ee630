"""Losses over prototypes in blocks are the plain ones of `distillation`: values, gradients, laws, no large array."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counts import temporary_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxssl.objectives import (
    Targets,
    centre_softmax,
    centred_targets,
    dino_loss,
    masked_patch_loss,
    next_centre,
    prototype_loss,
    prototype_patch_loss,
    sinkhorn,
    sinkhorn_targets,
    target_statistics,
)

VIEWS, BATCH, DIM, PROTOTYPES = 5, 6, 4, 11
HEAT = 0.3


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def drawn(*shape, seed=0, dtype=None):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def logits_of(features, prototypes):
    return jnp.einsum("...d,kd->...k", features, prototypes, precision="highest")


def teacher(*rows, dtype=None):
    """Features, prototypes and centre."""
    return (
        drawn(*rows, DIM, seed=2, dtype=dtype),
        drawn(PROTOTYPES, DIM, seed=3, dtype=dtype),
        drawn(PROTOTYPES, seed=4),
    )


# Kind: whole probabilities, and in factors that are found block by block, of a teacher.
TARGETS = {
    "centre": (
        lambda f, w, c, heat: centre_softmax(logits_of(f, w), c, heat),
        lambda f, w, c, heat, block: centred_targets(f, w, c, heat, block),
    ),
    "sinkhorn": (
        lambda f, w, c, heat: sinkhorn(logits_of(f, w), heat),
        lambda f, w, c, heat, block: sinkhorn_targets(f, w, heat, block_size=block),
    ),
}


def probabilities(targets: Targets):
    scores = logits_of(targets.features, targets.prototypes)
    return jnp.exp(scores + targets.of_prototypes + targets.of_rows[..., None])


def assert_close(found, wanted, tolerance=1e-9):
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("block", [1, 4, 64])
@pytest.mark.parametrize("form", ["array", "factors"])
@pytest.mark.parametrize("kind", TARGETS)
def test_equals_the_loss_of_whole_logits(kind, form, block, float64):
    plain, in_blocks = TARGETS[kind]
    of_teacher = teacher(2, BATCH)
    student = drawn(VIEWS, BATCH, DIM), drawn(PROTOTYPES, DIM, seed=1), jnp.asarray(0.2)

    def whole(features, prototypes, temperature):
        return dino_loss(logits_of(features, prototypes), plain(*of_teacher, HEAT), temperature=temperature)

    def blocked(features, prototypes, temperature):
        targets = in_blocks(*of_teacher, HEAT, block) if form == "factors" else plain(*of_teacher, HEAT)
        return prototype_loss(features, prototypes, targets, temperature=temperature, block_size=block)

    wanted, found = (jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(*student) for loss in (whole, blocked))
    assert wanted[0] > 1
    assert_close(found, wanted)


def test_gradient_is_that_of_finite_differences(float64):
    targets = sinkhorn_targets(*teacher(2, 3)[:2], HEAT, block_size=4)
    loss = jax.jit(lambda f, w, t: prototype_loss(f, w, targets, temperature=t, block_size=4))
    check_grads(loss, (drawn(3, 3, DIM), drawn(PROTOTYPES, DIM, seed=1), 0.3), 1, ["rev"])


@pytest.mark.parametrize("kind", TARGETS)
def test_factors_multiply_to_the_probabilities_and_describe_them(kind, float64):
    plain, in_blocks = TARGETS[kind]
    of_teacher = teacher(2, BATCH, 3)
    wanted = plain(*of_teacher, HEAT)
    targets = in_blocks(*of_teacher, HEAT, 4)
    assert_close(probabilities(targets), wanted)
    entropy, usage = target_statistics(targets, 4)
    assert_close(entropy, -(wanted * jnp.log(wanted)).sum(-1))
    assert_close(usage, wanted.mean((0, 1, 2)))


def test_arrays_need_not_be_probabilities(float64):
    """What is asked for is the equation, whatever the rows sum to."""
    weights = jnp.abs(drawn(2, BATCH, PROTOTYPES, seed=5))
    student = drawn(VIEWS, BATCH, DIM), drawn(PROTOTYPES, DIM, seed=1)
    found = prototype_loss(*student, weights, temperature=0.2, block_size=4)
    assert_close(found, dino_loss(logits_of(*student), weights, temperature=0.2))


@pytest.mark.parametrize("form", ["array", "factors"])
def test_hidden_patches_alone_give_the_loss_of_masked_images(form, float64):
    """Two views of three images, of which each hides two of five patches."""
    of_teacher, student, prototypes = teacher(2, 3, 2), drawn(2, 3, 2, DIM), drawn(PROTOTYPES, DIM, seed=1)
    targets = sinkhorn_targets(*of_teacher[:2], HEAT, block_size=4)
    places = np.array([[[0, 3], [1, 2], [0, 4]], [[2, 4], [1, 3], [0, 1]]])
    mask = np.zeros((6, 5))
    np.put_along_axis(mask, places.reshape(6, 2), 1, axis=1)

    def scattered(rows):
        rows = rows.reshape(6, 2, -1)
        return jnp.full((6, 5, rows.shape[-1]), 0.3).at[np.arange(6)[:, None], places.reshape(6, 2)].set(rows)

    def whole(student, prototypes):
        logits = logits_of(scattered(student), prototypes)
        return masked_patch_loss(logits, scattered(probabilities(targets)), mask, temperature=0.2)

    def blocked(student, prototypes):
        given = targets if form == "factors" else probabilities(targets)
        return prototype_patch_loss(student, prototypes, given, temperature=0.2, block_size=4)

    assert_close(*(jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(student, prototypes) for f in (blocked, whole)))


def test_the_centre_is_the_running_mean_of_logits(float64):
    features, prototypes, centre = teacher(2, BATCH, 3)
    wanted = 0.9 * centre + 0.1 * logits_of(features, prototypes).mean((0, 1, 2))
    assert_close(next_centre(centre, features, prototypes, 0.9), wanted)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_teacher_is_not_differentiated(kind):
    _, in_blocks = TARGETS[kind]
    student = drawn(VIEWS, BATCH, DIM), drawn(PROTOTYPES, DIM, seed=1)

    def loss(of_teacher):
        return prototype_loss(*student, in_blocks(*of_teacher, HEAT, 4))

    assert not any(gradient.any() for gradient in jax.tree.leaves(jax.jit(jax.grad(loss))(teacher(2, BATCH))))


@partial(jax.jit, static_argnums=3)
def of_kind(student, of_teacher, heats, kind):
    """Loss, gradients, and what the teacher says: in blocks, and whole."""
    temperature, heat = heats
    plain, in_blocks = TARGETS[kind]
    targets = in_blocks(*of_teacher, heat, 4)

    def blocked(features, prototypes):
        return prototype_loss(features, prototypes, targets, temperature=temperature, block_size=4)

    def whole(features, prototypes):
        return dino_loss(logits_of(features, prototypes), plain(*of_teacher, heat), temperature=temperature)

    found, wanted = (jax.value_and_grad(loss, argnums=(0, 1))(*student) for loss in (blocked, whole))
    return found, wanted, target_statistics(targets, 4)


seeds = st.integers(0, 10_000)
kinds = st.sampled_from(list(TARGETS))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, kind=kinds, temperature=st.sampled_from([0.01, 0.1, 1.0]), heat=st.sampled_from([0.02, 0.1]))
def test_in_single_precision_it_is_so_to_rounding(seed, kind, temperature, heat):
    def unit(*rows, seed):
        x = drawn(*rows, DIM, seed=seed)
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

    student = unit(VIEWS, BATCH, seed=seed), unit(PROTOTYPES, seed=seed + 1)
    of_teacher = unit(2, BATCH, seed=seed + 2), unit(PROTOTYPES, seed=seed + 3), 0.1 * drawn(PROTOTYPES, seed=seed)
    found, _, _ = of_kind(student, of_teacher, (temperature, heat), kind)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda x: np.asarray(x, np.float64), (student, of_teacher))
        _, wanted, _ = jax.device_get(of_kind(*exact, (temperature, heat), kind))
    # A logit is rounded to about 1e-7 / temperature, and its probability by as much.
    assert_close(found, wanted, 2e-6 / min(temperature, heat))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, kind=kinds, size=st.sampled_from([0.0, 1e-20, 1e2, 1e15]), alike=st.booleans())
def test_extreme_logits_duplicates_and_rows_of_zeros_stay_finite(seed, kind, size, alike):
    def scaled(x):
        x = size * np.array(x, np.float32)
        x[..., 0, :] = 0
        return np.broadcast_to(x[..., -1:, :], x.shape) if alike else x

    student = scaled(drawn(VIEWS, BATCH, DIM, seed=seed)), scaled(drawn(PROTOTYPES, DIM, seed=seed))
    features, prototypes, centre = teacher(2, BATCH)
    found, _, statistics = of_kind(student, (scaled(features), scaled(prototypes), centre), (0.1, 0.02), kind)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((found, statistics)))


@settings(max_examples=10, deadline=None)
@given(seed=seeds, kind=kinds)
def test_order_of_images_and_rotation_do_not_matter(seed, kind):
    rng = np.random.default_rng(seed)
    order = rng.permutation(BATCH)
    turn = jnp.asarray(np.linalg.qr(rng.normal(size=(DIM, DIM)))[0], jnp.float32)
    (student, prototypes), (features, of_teacher, centre) = (
        (drawn(VIEWS, BATCH, DIM, seed=seed), drawn(PROTOTYPES, DIM, seed=1)),
        teacher(2, BATCH),
    )
    (loss, (gradient, _)), _, _ = of_kind((student, prototypes), (features, of_teacher, centre), (0.5, 0.5), kind)
    moved, _, _ = of_kind(
        (student[:, order] @ turn, prototypes @ turn), (features[:, order], of_teacher, centre), (0.5, 0.5), kind
    )
    np.testing.assert_allclose(moved[0], loss, rtol=1e-5)
    np.testing.assert_allclose(moved[1][0] @ turn.T, gradient[:, order], atol=1e-5 * np.abs(gradient).max())


def test_statistics_tell_both_collapses_apart():
    prototypes = jnp.eye(8)
    same = jnp.broadcast_to(prototypes[3], (2, 5, 8))
    one_for_all = target_statistics(centred_targets(same, prototypes, jnp.zeros(8), 0.01))
    np.testing.assert_allclose(one_for_all.entropy, 0, atol=1e-5)
    np.testing.assert_allclose(one_for_all.usage, np.eye(8)[3], atol=1e-6)
    all_for_each = target_statistics(centred_targets(jnp.zeros((2, 5, 8)), prototypes, jnp.zeros(8), 0.01))
    np.testing.assert_allclose(all_for_each.entropy, np.log(8), rtol=1e-6)
    np.testing.assert_allclose(all_for_each.usage, 1 / 8, rtol=1e-6)


def test_half_precision_is_lifted_before_any_arithmetic():
    student = drawn(VIEWS, BATCH, DIM, dtype=jnp.bfloat16), drawn(PROTOTYPES, DIM, seed=1, dtype=jnp.bfloat16)
    of_teacher = teacher(2, BATCH, dtype=jnp.bfloat16)

    def loss(dtype):
        cast = jax.tree.map(lambda x: x.astype(dtype), (student, of_teacher))
        return prototype_loss(*cast[0], sinkhorn_targets(*cast[1][:2], 0.05))

    assert loss(jnp.bfloat16) == loss(jnp.float32)
    assert loss(jnp.bfloat16).dtype == jnp.float32


@pytest.mark.parametrize("block", [0, -1])
def test_a_block_of_nothing_is_refused(block):
    student, of_teacher = (drawn(2, BATCH, DIM), drawn(PROTOTYPES, DIM)), teacher(2, BATCH)
    targets = sinkhorn_targets(*of_teacher[:2], HEAT)
    for ask in (
        lambda: centred_targets(*of_teacher, HEAT, block),
        lambda: sinkhorn_targets(*of_teacher[:2], HEAT, block_size=block),
        lambda: target_statistics(targets, block),
        lambda: prototype_loss(*student, targets, block_size=block),
        lambda: prototype_patch_loss(*student, probabilities(targets), block_size=block),
    ):
        with pytest.raises(ValueError, match=f"block_size .* not {block}"):
            ask()


def test_no_balance_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1 iteration, not 0"):
        sinkhorn_targets(*teacher(2, BATCH)[:2], HEAT, iterations=0)


def test_targets_of_other_prototypes_are_refused():
    student = drawn(2, BATCH, DIM), drawn(PROTOTYPES + 1, DIM)
    with pytest.raises(ValueError, match="of 11 prototypes, the student has 12"):
        prototype_loss(*student, sinkhorn_targets(*teacher(2, BATCH)[:2], HEAT))
    with pytest.raises(ValueError, match="of 11 prototypes, the student has 12"):
        prototype_patch_loss(*student, jnp.zeros((2, BATCH, PROTOTYPES)))


def nested(jaxpr):
    """Yield all equations of a program, inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from nested(inner)


@pytest.mark.parametrize("kind", TARGETS)
def test_neither_program_nor_memory_holds_logits_of_all_prototypes(kind):
    views, batch, dim, prototypes, block = 6, 64, 8, 4096, 128
    features = jax.ShapeDtypeStruct((views, batch, dim), np.float32)
    others = jax.ShapeDtypeStruct((2, batch, dim), np.float32)
    table, centre = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((prototypes, dim), (prototypes,)))

    def loss(student, of_teacher):
        targets = TARGETS[kind][1](*of_teacher, 0.04, block)
        return prototype_loss(*student, targets, block_size=block) + target_statistics(targets, block).entropy.mean()

    arguments = (features, table), (others, table, centre)
    program = jax.make_jaxpr(jax.value_and_grad(loss))(*arguments).jaxpr
    assert max(out.aval.size for equation in nested(program) for out in equation.outvars) <= max(
        views * batch * block, prototypes * dim
    )
    # A few blocks of the student's logits, and a few arrays like the prototypes.
    assert temporary_bytes(loss, *arguments) < 4 * (3 * views * batch * block + 5 * prototypes * dim)
    assert temporary_bytes(loss, *arguments) < 4 * views * batch * prototypes / 4


def test_a_block_that_is_not_given_bounds_the_memory_of_many_rows():
    """The hidden patches of a ViT/16 on 512 images of 256 x 256."""
    views, batch, hidden, dim, prototypes = 2, 512, 77, 8, 2048
    patches = jax.ShapeDtypeStruct((views, batch, hidden, dim), np.float32)
    table = jax.ShapeDtypeStruct((prototypes, dim), np.float32)

    def loss(student, of_teacher):
        return prototype_patch_loss(*student, sinkhorn_targets(*of_teacher, 0.04))

    # Blocks of 128: three arrays of a block's scores, and some like the rows.
    rows = views * batch * hidden
    taken = temporary_bytes(loss, (patches, table), (patches, table))
    assert taken < 4 * (3 * 2**24 + 6 * rows * dim)
    assert taken < 4 * rows * prototypes / 3
