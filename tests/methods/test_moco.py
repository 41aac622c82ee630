"""MoCo: a queue that is first in, first out, keys that depend on their own view alone, a head that is used."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import SPEC, STILL, Backbone, batch_of, encoded, keys_of, progress_at, projected, shaken, unit
from objectives.plain import plain_contrastive_loss

from jaxssl.methods import moco
from jaxssl.methods.base import Seen

START = progress_at(0)
OPTIONS = moco.Options(projector=(7, 3), queue=8, momentum=0.9, temperature=0.2, augment=STILL)
METHOD = moco.build(OPTIONS, Backbone(), SPEC)
forward = jax.jit(METHOD.forward)


def begun(views, method=METHOD):
    """Params and carry in which every number matters."""
    params, carry = method.init(jax.random.key(0), views)
    follower = shaken(carry["teacher"], seed=1)
    follower["statistics"]["encoder"]["norm"]["var"] = jnp.linspace(0.5, 2, 5)
    return shaken(params), {**carry, "teacher": follower}


@pytest.fixture
def views():
    return jax.random.normal(jax.random.key(5), (8, 2, *SPEC.size, 1))


def test_queries_come_from_the_student_and_keys_from_its_follower_through_encoder_and_head(views):
    params, carry = begun(views)
    seen = forward(params, carry, views, keys_of(8), START)
    queries = projected(params["head"], encoded(params["encoder"], views[:, 0], 4))
    np.testing.assert_allclose(seen.outputs, queries, rtol=1e-3, atol=1e-3)

    follower = carry["teacher"]["params"]
    running = carry["teacher"]["statistics"]["encoder"]["norm"]
    x = np.float64(views[:, 1]).reshape(8, -1) @ np.float64(follower["encoder"]["layer"]["kernel"])
    x = (x - running["mean"]) / np.sqrt(running["var"] + 1e-5)
    x = np.tanh(x * follower["encoder"]["norm"]["scale"] + follower["encoder"]["norm"]["bias"])
    np.testing.assert_allclose(seen.fixed, unit(projected(follower["head"], x)), rtol=1e-3, atol=1e-3)


def test_a_key_does_not_change_when_other_samples_do(views):
    """Which a query's does: shuffling would have nothing left to hide."""
    params, carry = begun(views)
    other = views.at[1:].set(2 * views[1:] + 1)
    one, two = (forward(params, carry, some, keys_of(8), START) for some in (views, other))
    np.testing.assert_array_equal(one.fixed[0], two.fixed[0])
    assert np.abs(one.outputs[0] - two.outputs[0]).max() > 0.1
    assert np.abs(one.fixed[1:] - two.fixed[1:]).max() > 0.1


@pytest.mark.parametrize("negatives", ["all", "other_subjects"])
def test_the_own_key_attracts_and_the_queue_repels(negatives, views):
    method = moco.build(replace(OPTIONS, negatives=negatives), Backbone(), SPEC)
    _, carry = method.init(jax.random.key(0), views)
    batch = batch_of(8)
    subjects = np.array([0, 0, 3, 9, 1, -1, -1, -1])
    carry["queue"]["subject"] = jnp.asarray(subjects)
    queries, found = (jax.random.normal(jax.random.key(i), (8, 3)) for i in (1, 2))
    metadata = {name: jnp.asarray(batch[name]) for name in moco.ORIGIN}
    loss, statistics = method.objective({}, carry, Seen(queries, found, None), metadata, START)

    own = np.eye(8, 16, dtype=bool)
    queued = np.broadcast_to(np.arange(16) >= 8, (8, 16))
    if negatives == "other_subjects":
        queued = queued & (batch["subject"][:, None] != np.concatenate([batch["subject"], subjects]))
    candidates = jnp.concatenate([found, carry["queue"]["key"]])
    wanted, _ = plain_contrastive_loss(queries, own, candidates, queued, temperature=0.2)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    np.testing.assert_array_equal(statistics["newest"]["key"], found)


def test_the_queue_begins_with_unit_vectors_of_nobody(views):
    queue = METHOD.init(jax.random.key(0), views)[1]["queue"]
    np.testing.assert_allclose(np.linalg.norm(queue["key"], axis=1), 1, rtol=1e-6)
    assert np.linalg.matrix_rank(queue["key"]) == 3
    assert set(np.asarray(queue["subject"])) == {moco.NOBODY}


@pytest.mark.parametrize("batch", [3, 8, 11])
def test_first_in_first_out_whatever_the_batch(batch, views):
    params, carry = begun(views)
    moments = forward(params, carry, views, keys_of(8), START).moments
    expected = list(np.asarray(carry["queue"]["key"]))
    subjects = [moco.NOBODY] * 8
    for step in range(4):
        newest = np.random.default_rng(step).normal(size=(batch, 3)).astype(np.float32)
        who = np.arange(batch, dtype=np.int32) + 100 * step
        statistics = {"newest": {"key": newest, **dict.fromkeys(moco.ORIGIN, who)}}
        carry = METHOD.update(params, carry, statistics, moments, progress_at(step))
        expected, subjects = [*expected, *newest][-8:], [*subjects, *who][-8:]
        np.testing.assert_array_equal(carry["queue"]["key"], expected)
        np.testing.assert_array_equal(carry["queue"]["subject"], subjects)


@pytest.mark.parametrize(("step", "kept"), [(0, 0.1), (5, 6 / 15), (1000, 0.9)])
def test_the_follower_moves_and_its_statistics_soon_leave_where_they_began(step, kept, views):
    params, carry = begun(views)
    seen = forward(params, carry, views, keys_of(8), START)
    batch = {"key": seen.fixed, **dict.fromkeys(moco.ORIGIN, jnp.zeros(8, jnp.int32))}
    after = METHOD.update(params, carry, {"newest": batch}, seen.moments, progress_at(step))

    def between(share, old, new):
        jax.tree.map(
            lambda got, a, b: np.testing.assert_allclose(got, share * a + (1 - share) * b, rtol=1e-5, atol=1e-6),
            new,
            old[0],
            old[1],
        )

    between(0.9, (carry["teacher"]["params"], params), after["teacher"]["params"])
    between(kept, (carry["teacher"]["statistics"], after["statistics"]), after["teacher"]["statistics"])
    mean = (np.float64(views[:, 0]).reshape(8, -1) @ np.float64(params["encoder"]["layer"]["kernel"])).mean(0)
    np.testing.assert_allclose(after["statistics"]["encoder"]["norm"]["mean"], 0.25 * mean, atol=1e-5)


def test_the_head_is_normalised_where_asked_and_the_keys_by_running_statistics(views):
    method = moco.build(replace(OPTIONS, projector_norm=True), Backbone(), SPEC)
    params, carry = begun(views, method)
    carry["teacher"]["statistics"]["head"]["norm0"]["var"] = jnp.ones(7)
    seen = method.forward(params, carry, views, keys_of(8), START)
    queries = projected(params["head"], encoded(params["encoder"], views[:, 0], 4), 4)
    np.testing.assert_allclose(seen.outputs, queries, rtol=1e-3, atol=1e-3)
    assert seen.moments["head"]["norm0"]["count"] == 2
    other = method.forward(params, carry, views.at[1:].set(0.5 * views[1:]), keys_of(8), START)
    np.testing.assert_array_equal(other.fixed[0], seen.fixed[0])
