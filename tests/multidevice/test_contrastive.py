"""The contrastive loss shared out over devices: the same numbers, an even part of work and memory, few messages.

And why a mean of local means is not the mean.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec
from objectives.plain import plain_contrastive_loss

from jaxssl.bench import program
from jaxssl.objectives import contrastive_loss, near_position, same_instance, same_label, same_subject
from jaxssl.train.mesh import DATA, by_sample, make_mesh, replicated

ROWS, TEMPERATURE = 40, 0.2
# On eight devices the first has no anchor with a positive, the second has one, the third two, and so on up to five.
LABELS = np.where(np.arange(ROWS) % 5 < np.arange(ROWS) // 5, np.arange(ROWS) % 3, -1)
# Devices, and how many of them are on the second axis. Three stand in a ring where no two face each other.
MESHES = {"1": (1, 1), "2": (2, 1), "3": (3, 1), "4": (4, 1), "8": (8, 1), "4 x 2": (8, 2)}


def on(devices, fsdp=1):
    return make_mesh(jax.devices()[:devices], fsdp)


def embeddings(rows, seed, width=6):
    return np.random.default_rng(seed).normal(size=(rows, width))


def metadata(rows, labels):
    """Labels, subjects and positions."""
    return labels[:rows], np.arange(rows) // 4, np.random.default_rng(5).random(rows)


def rules(anchors, candidates):
    """Positives: the same label in another subject or nearby; negatives: other subjects."""
    labels, subjects, positions = zip(anchors, candidates, strict=True)
    others = ~same_subject(*subjects)
    return same_label(*labels) & (others | near_position(positions[0], 0.5, positions[1])), others


# Anchors, and candidates (none: the anchors). 37 and 29 are divided by none of the rings.
CASES = {"paired": (37, None), "queue": (ROWS, 29), "fewer than devices": (5, None)}


def of_case(name):
    """Loss and gradient as a function of (inputs, metadata), and these."""
    rows, columns = CASES[name]
    inputs = {"anchors": embeddings(rows, 0), "temperature": np.float64(TEMPERATURE)}
    known = metadata(rows, LABELS if rows > 5 else np.zeros(rows, int)), (None,) * 3
    if columns:
        inputs["candidates"] = embeddings(columns, 1)
        known = known[0], metadata(columns, np.arange(columns) % 9 - 1)

    def loss(inputs, known):
        positives, negatives = rules(*known)
        return contrastive_loss(positives=positives, negatives=negatives, block_size=3, **inputs)[0]

    return jax.value_and_grad(loss), inputs, known


@cache
def plain(name):
    """What the case should give: from the whole matrix, on one device."""
    _, inputs, known = of_case(name)
    rows, columns = CASES[name]

    def loss(inputs):
        positive, negative = (rule(jnp.arange(rows), jnp.arange(columns or rows)) for rule in rules(*known))
        return plain_contrastive_loss(positive=positive, negative=negative, **inputs)[0]

    return jax.device_get(jax.jit(jax.value_and_grad(loss))(inputs))


def largest_difference(found, wanted):
    """Of any leaf, in units of that leaf's largest value."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(b).max() for a, b in pairs)


def check_against_plain(name, mesh, precision, tolerance):
    graded, inputs, known = of_case(name)
    with jax.enable_x64(True):
        wanted = plain(name)
        with jax.set_mesh(on(*MESHES[mesh])):
            found = jax.device_get(jax.jit(graded)(jax.tree.map(precision, inputs), known))
    assert found[0].dtype == precision
    assert largest_difference(found, wanted) < tolerance


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("name", ["paired", "queue"])
def test_loss_and_gradients_are_those_of_the_whole_matrix(name, mesh):
    check_against_plain(name, mesh, np.float64, 1e-9)


# Those where most differs: no two face each other, and two axes.
OF_EACH_KIND = [mesh if mesh in ("3", "4 x 2") else pytest.param(mesh, marks=pytest.mark.slow) for mesh in MESHES]


@pytest.mark.parametrize("mesh", OF_EACH_KIND)
@pytest.mark.parametrize("name", ["paired", "queue"])
def test_in_single_precision_they_are_so_to_rounding(name, mesh):
    check_against_plain(name, mesh, np.float32, 1e-5)


def test_there_may_be_fewer_rows_than_devices():
    check_against_plain("fewer than devices", "8", np.float64, 1e-9)


@pytest.fixture(scope="module")
def by_labels_on():
    """Loss, anchors without positives and gradients as a jitted function of embeddings, labels and temperature."""

    def loss(z, temperature, labels):
        value, aux = contrastive_loss(z, same_label(labels), temperature=temperature, block_size=3)
        return value, aux["anchors_without_positives"]

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(-1, 4), min_size=23, max_size=23), seed=st.integers(0, 10_000))
def test_any_labels_on_any_devices(by_labels_on, labels, seed):
    inputs = np.float32(embeddings(23, seed)), np.float32(TEMPERATURE), np.array(labels)
    (wanted, without), (of_rows, of_temperature) = jax.device_get(by_labels_on(*inputs))
    with jax.set_mesh(on(8, 2)):
        found = jax.device_get(by_labels_on(*inputs))
    assert found[0][1] == without
    np.testing.assert_allclose(found[0][0], wanted, rtol=1e-5)
    np.testing.assert_allclose(found[1][0], of_rows, atol=1e-5 * max(np.abs(of_rows).max(), 1e-2))
    np.testing.assert_allclose(found[1][1], of_temperature, atol=1e-5 * max(abs(wanted), 1))


def test_within_shard_map_the_loss_is_that_of_a_device():
    z, ids = np.float32(embeddings(ROWS, 0)), np.arange(ROWS) // 5

    def local(z, ids):
        return contrastive_loss(z, same_instance(ids), temperature=TEMPERATURE)[0][None]

    with jax.set_mesh(on(4)):
        found = jax.jit(jax.shard_map(local, in_specs=(PartitionSpec(DATA),) * 2, out_specs=PartitionSpec(DATA)))(
            z, ids
        )
    wanted = [local(z[i : i + 10], jnp.asarray(ids[i : i + 10]))[0] for i in range(0, ROWS, 10)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


# As 128 numbers are to a block of 640 rows.
BLOCK, WIDTH, PAIRED, QUEUE = 160, 32, 8192, 4096


@cache
def compiled(devices, queued):
    """Loss and gradients of 8,192 anchors, or of 4,096 and a replicated queue of 8,192; nothing is run."""

    def loss(anchors, temperature, candidates, ids, candidate_ids):
        rule = same_instance(ids, candidate_ids)
        return contrastive_loss(anchors, rule, candidates=candidates, temperature=temperature, block_size=BLOCK)[0]

    mesh = on(devices)

    def given(placed, *shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=placed(mesh))

    anchors = QUEUE if queued else PAIRED
    z, ids = given(by_sample, anchors, WIDTH), given(by_sample, anchors, dtype=jnp.int32)
    queue, queue_ids = given(replicated, PAIRED, WIDTH), given(replicated, PAIRED, dtype=jnp.int32)
    inputs = (z, given(replicated), queue, ids, queue_ids) if queued else (z, given(replicated), None, ids, None)
    with jax.set_mesh(mesh):
        graded = jax.value_and_grad(loss, argnums=(0, 1, 2) if queued else (0, 1))
        return jax.jit(graded).lower(*inputs).compile()


@pytest.mark.parametrize("queued", [False, True])
def test_each_of_eight_devices_does_its_eighth(queued):
    alone, shared = (program.flops(compiled(devices, queued)) for devices in (1, 8))
    assert shared <= 1.05 / 8 * alone
    # Four products of a dot's length a pair: one forward; one again, and one each way, backward.
    pairs = QUEUE * PAIRED if queued else PAIRED * PAIRED / 2
    assert alone >= 4 * 2 * WIDTH * pairs


@pytest.mark.parametrize("queued", [False, True])
def test_each_of_eight_devices_needs_its_eighth_of_the_memory(queued):
    alone, shared = (program.memory(compiled(devices, queued)).temporary for devices in (1, 8))
    assert shared <= 2 * (PAIRED * BLOCK / 8) * 4
    # What does not shrink is a few tiles.
    assert shared <= 2 / 8 * alone + 3 * BLOCK * BLOCK * 4


@pytest.mark.parametrize("queued", [False, True])
def test_few_messages_and_no_matrix_in_them(queued):
    sent = program.collectives(compiled(8, queued))
    # Metadata are gathered whole; what is summed over all devices is the loss, and the gradient of the temperature.
    assert sent.pop("all-gather").bytes <= 2 * PAIRED * 4
    assert sent.pop("all-reduce").bytes <= 8 * 4
    passed = sent.pop("collective-permute")
    # Five meetings of pairs or eight with a queue, forward and backward. What is gathered for the columns is a message
    # of its own, and goes home; forward nothing is gathered for a queue.
    assert passed.count <= (8 + 2 * 8 if queued else 2 * (2 * 5))
    # None is more than a share of the rows and their four statistics.
    assert passed.bytes <= passed.count * PAIRED / 8 * (WIDTH + 4) * 4
    assert not sent


def local_sum_and_count(embeddings, labels):
    """Sum of the losses of this device's anchors against all devices' candidates, and how many they are."""
    everything, all_labels = (jax.lax.all_gather(x, DATA, tiled=True) for x in (embeddings, labels))
    mine = jax.lax.axis_index(DATA) * len(labels) + jnp.arange(len(labels))
    positive = (labels[:, None] == all_labels[None, :]) & (labels[:, None] >= 0)
    other = mine[:, None] != jnp.arange(len(all_labels))[None, :]
    mean, without = plain_contrastive_loss(embeddings, positive & other, everything, other, TEMPERATURE)
    count = len(labels) - without
    return mean * count, count


def mean_of_local_means(embeddings, labels):
    total, count = local_sum_and_count(embeddings, labels)
    return jax.lax.pmean(total / jnp.maximum(count, 1), DATA)


def sum_over_count(embeddings, labels):
    total, count = local_sum_and_count(embeddings, labels)
    return jax.lax.psum(total, DATA) / jax.lax.psum(count, DATA)


@jax.enable_x64(True)
def test_a_mean_of_local_means_has_another_gradient_where_a_sum_over_a_count_has_the_right_one():
    mesh = make_mesh()
    assert mesh.size == 8
    assert (LABELS[:5] < 0).all()
    z, labels = jax.device_put((embeddings(ROWS, 0), LABELS), by_sample(mesh))
    rows = PartitionSpec(DATA)

    def graded(local_loss):
        # The gradient is taken outside shard_map, which then knows how often each term is counted.
        spread = jax.shard_map(local_loss, mesh=mesh, in_specs=(rows, rows), out_specs=PartitionSpec())
        return jax.device_get(jax.jit(jax.value_and_grad(spread))(z, labels))

    public = partial(contrastive_loss, positives=same_label(jnp.asarray(LABELS)), temperature=TEMPERATURE)
    loss, gradient = jax.device_get(jax.value_and_grad(lambda z: public(z)[0])(embeddings(ROWS, 0)))
    assert largest_difference(graded(sum_over_count), (loss, gradient)) < 1e-9
    wrong_loss, wrong_gradient = graded(mean_of_local_means)
    assert abs(wrong_loss - loss) / loss < 0.2
    assert largest_difference(wrong_gradient, gradient) > 0.5
