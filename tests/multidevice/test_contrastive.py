"""The contrastive loss does not know how many devices it runs on; and why a mean of local means is not the mean."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from objectives.plain import plain_contrastive_loss

from jaxssl.objectives import contrastive_loss, same_label, same_subject
from jaxssl.train.mesh import DATA, by_sample, make_mesh

ROWS, COLUMNS, TEMPERATURE = 40, 48, 0.2
# On eight devices the first has no anchor with a positive, the second has one, the third two, and so on up to five.
LABELS = np.where(np.arange(ROWS) % 5 < np.arange(ROWS) // 5, np.arange(ROWS) % 3, -1)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def embeddings(rows, seed):
    return np.random.default_rng(seed).normal(size=(rows, 6))


def largest_difference(found, wanted):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(b).max() for a, b in pairs)


def of_anchors(anchors, temperature, labels, subjects):
    return contrastive_loss(
        anchors, same_label(labels), negatives=~same_subject(subjects), temperature=temperature, block_size=7
    )[0]


def of_queue(anchors, temperature, labels, subjects, queue, queue_labels):
    del subjects
    rule = same_label(labels, queue_labels)
    return contrastive_loss(anchors, rule, candidates=queue, temperature=temperature, block_size=7)[0]


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("function", [of_anchors, of_queue])
def test_loss_and_gradient_are_the_same_on_any_number_of_devices(function, devices, float64):
    inputs = (embeddings(ROWS, 0), TEMPERATURE, LABELS, np.arange(ROWS) // 4)
    if function is of_queue:
        inputs += (embeddings(COLUMNS, 1), np.arange(COLUMNS) % 9)
    spread = by_sample(make_mesh(jax.devices()[:devices]))
    placed = [jax.device_put(x, spread) if np.ndim(x) else x for x in inputs]
    graded = jax.value_and_grad(function, argnums=(0, 1) if function is of_anchors else (0, 1, 4))
    found = jax.device_get(jax.jit(graded)(*placed))
    assert largest_difference(found, jax.device_get(graded(*inputs))) < 1e-9


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


def test_a_mean_of_local_means_has_another_gradient_where_a_sum_over_a_count_has_the_right_one(float64):
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
