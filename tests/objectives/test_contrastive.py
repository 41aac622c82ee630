"""The blocked contrastive loss is the plain one: values, gradients, laws, and neither memory nor work of a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from objectives.plain import plain_contrastive_loss

from jaxssl.bench import program
from jaxssl.objectives import contrastive_loss, near_position, same_instance, same_label, same_subject

ROWS, WIDTH, BLOCK = 13, 5, 4


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def drawn(rows, seed=0, width=WIDTH):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, width)))


def whole(rule, rows, columns):
    """Write a rule out as a matrix."""
    return rule(jnp.arange(rows), jnp.arange(columns))


def metadata(rows, seed=1):
    rng = np.random.default_rng(seed)
    labels, subjects = rng.integers(-1, 3, rows), rng.integers(0, 4, rows)
    positions = np.where(rng.random(rows) < 0.2, np.nan, rng.random(rows))
    return jnp.arange(rows) // 2, jnp.asarray(labels), jnp.asarray(positions), jnp.asarray(subjects)


# Name: what are positives and what are negatives, of metadata of anchors and (or None) of candidates.
RULES = {
    "NT-Xent": lambda a, c: (same_instance(a[0], c[0]), None),
    "AWCL": lambda a, c: (same_instance(a[0], c[0]) | same_label(a[1], c[1]), None),
    "PCL": lambda a, c: (near_position(a[2], 0.3, c[2]), None),
    "other scans only": lambda a, c: (near_position(a[2], 0.3, c[2]) & ~same_subject(a[3], c[3]), None),
    "no negatives of my own": lambda a, c: (same_instance(a[0], c[0]), ~same_subject(a[3], c[3])),
    "some without positives": lambda a, c: (same_label(a[1], c[1]), None),
}


@pytest.mark.parametrize(
    ("name", "columns", "block"),
    [(name, columns, BLOCK) for name in RULES for columns in (None, 29)]
    + [("AWCL", columns, block) for columns in (None, 7) for block in (1, 64)],
)
def test_equals_the_plain_loss(name, columns, block, float64):
    of_anchors = metadata(ROWS)
    of_candidates = (None,) * 4 if columns is None else metadata(columns, seed=2)
    positives, negatives = RULES[name](of_anchors, of_candidates)
    anchors, candidates = drawn(ROWS), None if columns is None else drawn(columns, 3)
    positive = whole(positives, ROWS, columns or ROWS)
    negative = None if negatives is None else whole(negatives, ROWS, columns or ROWS)

    def blocked(anchors, candidates, temperature, positives, negatives):
        loss, aux = contrastive_loss(
            anchors, positives, candidates=candidates, negatives=negatives, temperature=temperature, block_size=block
        )
        return loss, aux["anchors_without_positives"]

    def plain(anchors, candidates, temperature):
        return plain_contrastive_loss(anchors, positive, candidates, negative, temperature)

    at = (anchors, candidates, jnp.asarray(0.2))
    wanted = jax.value_and_grad(plain, argnums=(0, 1, 2), has_aux=True)(*at)
    # Rules are arguments of the compiled function: their metadata are data.
    found = jax.jit(jax.value_and_grad(blocked, argnums=(0, 1, 2), has_aux=True))(*at, positives, negatives)
    assert wanted[0][0] > 0.1
    if name == "some without positives":
        assert wanted[0][1] > 0
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())


def test_gradient_is_that_of_finite_differences(float64):
    rule = same_label(jnp.array([0, 1, 1, 0, -1, 1, 2]))
    loss = jax.jit(lambda z, temperature: contrastive_loss(z, rule, temperature=temperature, block_size=3)[0])
    check_grads(loss, (drawn(7), 0.3), 1, ["rev"])


@jax.jit
def blocked_by_label(z, labels, temperature):
    """Loss, anchors without positives and gradients: one compiled function for all laws."""

    def loss(z, temperature):
        return contrastive_loss(z, same_label(labels), temperature=temperature, block_size=BLOCK)

    (value, aux), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(z, temperature)
    return value, aux["anchors_without_positives"], *gradients


@jax.jit
def plain_by_label(z, labels, temperature):
    """Return what `blocked_by_label` does, but for the last gradient, from the plain loss."""

    def loss(z):
        return plain_contrastive_loss(z, whole(same_label(labels), ROWS, ROWS), temperature=temperature)

    (value, without), gradient = jax.value_and_grad(loss, has_aux=True)(z)
    return value, without, gradient


def check_against_plain(z, labels, temperature, rtol):
    with jax.enable_x64(True):
        exact = z.astype(np.float64)
        exact /= np.abs(exact).max(1, keepdims=True)
        wanted, without, gradient = jax.device_get(plain_by_label(exact, labels, temperature))
    found = jax.device_get(blocked_by_label(z, labels, jnp.float32(temperature)))
    assert found[1] == without
    np.testing.assert_allclose(found[0], wanted, rtol=rtol, atol=rtol)
    # The gradient of a row is inverse to its length.
    scaled = found[2] * np.abs(np.asarray(z, np.float64)).max(1, keepdims=True)
    # Where all rows lie on one line the gradient is 0: what is left of terms as large as 1 / temperature, as rounded.
    rounding = np.finfo(np.float32).eps / temperature
    np.testing.assert_allclose(scaled, gradient, atol=max(rtol * np.abs(gradient).max(), rounding))
    assert np.isfinite(found[3])


labellings = st.lists(st.integers(-1, 3), min_size=ROWS, max_size=ROWS).map(lambda labels: jnp.array(labels, jnp.int32))
seeds = st.integers(0, 10_000)
examples = settings(max_examples=15, deadline=None)


def normal(seed):
    return np.random.default_rng(seed).normal(size=(ROWS, WIDTH)).astype(np.float32)


@examples
@given(labels=labellings, seed=seeds, temperature=st.sampled_from([0.01, 0.07, 0.5, 5.0]))
def test_any_labels_and_temperature(labels, seed, temperature):
    check_against_plain(normal(seed), labels, temperature, rtol=2e-4 if temperature == 0.01 else 2e-5)


@examples
@given(labels=labellings, seed=seeds, exponents=st.lists(st.integers(-25, 25), min_size=ROWS, max_size=ROWS))
def test_any_scale_of_rows(labels, seed, exponents):
    scales = np.float32(10.0) ** np.array(exponents, np.float32)
    check_against_plain(normal(seed) * scales[:, None], labels, 0.1, rtol=2e-5)


@examples
@given(labels=labellings, seed=seeds, chosen=st.lists(st.integers(0, 2), min_size=ROWS, max_size=ROWS))
@example(jnp.array([0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 1, -1, -1], jnp.int32), 3, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1])
def test_duplicated_and_opposite_rows_at_the_lowest_temperature(labels, seed, chosen):
    few = normal(seed)[:2]
    # A row whose every candidate is opposite has its whole sum at the far end of exp's range.
    check_against_plain(np.stack([few[0], -few[0], few[1]])[chosen], labels, 0.01, rtol=2e-4)


@examples
@given(labels=labellings, seed=seeds)
def test_order_and_rotation_do_not_matter(labels, seed):
    rng, z = np.random.default_rng(seed), normal(seed)
    order = rng.permutation(ROWS)
    rotation = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    loss, without, gradient, _ = blocked_by_label(z, labels, 0.1)
    moved = blocked_by_label(z[order] @ rotation, labels[order], 0.1)
    assert without == moved[1]
    np.testing.assert_allclose(moved[0], loss, rtol=1e-5)
    np.testing.assert_allclose(moved[2] @ rotation.T, gradient[order], atol=2e-5 * max(1e-2, np.abs(gradient).max()))


@examples
@given(seed=seeds, label=st.integers(0, 3), temperature=st.sampled_from([0.01, 0.1, 2.0]))
def test_one_class_only(seed, label, temperature):
    check_against_plain(normal(seed), jnp.full(ROWS, label), temperature, rtol=2e-4 if temperature == 0.01 else 2e-5)


@examples
@given(labels=labellings, seed=seeds, temperature=st.sampled_from([0.01, 0.1, 2.0]))
def test_identical_rows_of_any_labels(labels, seed, temperature):
    """Whatever the positives are, they are as likely as all others."""
    rows = np.tile(normal(seed)[:1], (ROWS, 1))
    loss, without, gradient, _ = blocked_by_label(rows, labels, jnp.float32(temperature))
    np.testing.assert_allclose(loss, 0 if without == ROWS else np.log(ROWS - 1), rtol=1e-6 / temperature)
    # Rows can only be pulled along themselves, which changes no cosine.
    np.testing.assert_allclose(gradient, 0, atol=1e-5 / temperature)


# Each size is compiled anew, so there are few.
@settings(max_examples=4, deadline=None)
@given(rows=st.integers(2, 23), block=st.integers(2, 9), seed=seeds)
def test_any_number_of_rows_and_any_block(rows, block, seed):
    z, rule = drawn(rows, seed), same_label(metadata(rows, seed)[1])
    loss, aux = contrastive_loss(z, rule, block_size=block)
    wanted, without = plain_contrastive_loss(z, whole(rule, rows, rows))
    assert aux["anchors_without_positives"] == without
    np.testing.assert_allclose(loss, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("queue", [1, 7, 1000])
def test_identical_embeddings_before_a_queue_give_log_of_it_and_the_own_key(queue):
    own, queued = same_instance(jnp.arange(5), jnp.arange(5 + queue)), jnp.arange(5 + queue) >= 5
    loss, _ = contrastive_loss(
        jnp.ones((5, 3)),
        own,
        candidates=jnp.full((5 + queue, 3), 2.0),
        negatives=same_label(jnp.ones(5, jnp.int32), queued.astype(jnp.int32)),
    )
    np.testing.assert_allclose(loss, np.log(queue + 1), rtol=1e-5)


@pytest.mark.parametrize("labels", [jnp.full(ROWS, -1), jnp.arange(ROWS)])
def test_without_any_positive_loss_and_gradient_are_zero(labels):
    loss, without, *gradients = blocked_by_label(normal(0), labels, 0.1)
    assert loss == 0
    assert without == ROWS
    assert not any(np.any(gradient) for gradient in gradients)


def test_where_nothing_is_allowed_nothing_is_lost():
    lonely = jax.jit(jax.value_and_grad(lambda z: contrastive_loss(z, same_instance(jnp.array([7])))[0]))
    loss, gradient = lonely(jnp.ones((1, WIDTH)))
    assert loss == 0
    assert not np.any(gradient)


def test_row_of_zeros_has_finite_gradient():
    loss, _, gradient, _ = blocked_by_label(jnp.asarray(normal(0)).at[3].set(0), jnp.zeros(ROWS, jnp.int32), 0.1)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("temperature", [0.01, 0.1, 2.0])
def test_identical_embeddings_give_log_of_all_others(temperature):
    pairs = 600
    loss, aux = contrastive_loss(
        jnp.ones((2 * pairs, 3)), same_instance(jnp.tile(jnp.arange(pairs), 2)), temperature=temperature
    )
    np.testing.assert_allclose(loss, np.log(2 * pairs - 1), rtol=1e-6 / temperature)
    np.testing.assert_allclose(aux["positive_similarity"], 1, rtol=1e-6)


def test_half_precision_input_is_lifted_before_any_arithmetic():
    z = drawn(ROWS).astype(jnp.bfloat16)
    rule = same_instance(jnp.arange(ROWS) // 2)
    lifted = contrastive_loss(z.astype(jnp.float32), rule, temperature=0.07)[0]
    assert contrastive_loss(z, rule, temperature=0.07)[0] == lifted
    assert lifted.dtype == jnp.float32


def nested(jaxpr):
    """Yield all equations of a program, inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from nested(inner)


def loss_and_gradient(ids, block):
    return jax.value_and_grad(lambda z: contrastive_loss(z, same_instance(ids), block_size=block)[0])


def test_neither_program_nor_memory_holds_the_matrix():
    block, width, temporary = 128, 16, {}
    for rows in (1024, 4096):
        of_ids = loss_and_gradient(jnp.arange(rows) // 2, block)
        z = jnp.ones((rows, width))
        sizes = [out.aval.size for equation in nested(jax.make_jaxpr(of_ids)(z).jaxpr) for out in equation.outvars]
        assert max(sizes) <= max(rows * width, block * block)
        temporary[rows] = jax.jit(of_ids).lower(z).compile().memory_analysis().temp_size_in_bytes
    assert temporary[4096] <= 4 * temporary[1024]
    assert temporary[4096] < 4096 * 4096 * 4 / 20


def test_only_tiles_on_and_above_the_diagonal_are_computed():
    compiled = jax.jit(loss_and_gradient(jnp.arange(256) // 2, 32)).lower(jnp.ones((256, 16))).compile()
    # A product of 32 x 16 and 16 x 32 numbers forward; the same again, and one for rows and one for columns, backward.
    assert program.flops(compiled) == 8 * 9 // 2 * 4 * (2 * 32 * 16 * 32)


def test_metadata_that_do_not_fit_are_refused():
    z = jnp.ones((4, 2))
    with pytest.raises(ValueError, match="4 anchors"):
        contrastive_loss(z, same_instance(jnp.arange(5)))
    with pytest.raises(ValueError, match="6 candidates"):
        contrastive_loss(
            z, same_label(jnp.arange(4)) | same_instance(jnp.arange(4), jnp.arange(5)), candidates=jnp.ones((6, 2))
        )
    with pytest.raises(ValueError, match="no candidates"):
        contrastive_loss(z, same_instance(jnp.arange(4)), negatives=~same_subject(jnp.arange(4), jnp.arange(4)))
