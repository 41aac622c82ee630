"""What contrastive methods share: inputs, second views, the head, negatives by rule, a temperature that is learnt."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import (
    SPEC,
    STILL,
    Backbone,
    batch_of,
    encoded,
    keys_of,
    progress_at,
    projected,
    shaken,
)
from objectives.plain import plain_contrastive_loss

from jaxssl.errors import UserError
from jaxssl.methods import byol, moco, parts, pcl, simclr
from jaxssl.methods.base import Seen
from jaxssl.methods.contrastive import SHARPEST, at_most
from jaxssl.models.vit import ViT

START = progress_at(0)
OPTIONS = simclr.Options(projector=(7, 3), augment=STILL)
SMALL = {
    "simclr": OPTIONS,
    "pcl": pcl.Options(projector=(7, 3), augment=STILL),
    "moco": moco.Options(projector=(7, 3), augment=STILL),
    "byol": byol.Options(projector=(7, 3), predictor=(7, 3), augment=STILL),
}


def built(options, **spec):
    module = {"simclr": simclr, "pcl": pcl, "moco": moco, "byol": byol}[type(options).__module__.split(".")[-1]]
    return module.build(options, Backbone(), replace(SPEC, **spec))


def in_units(batch):
    return (np.float32(batch["image"]) - batch["mean"][:, None, None, None]) / batch["std"][:, None, None, None]


@pytest.mark.parametrize("options", SMALL.values(), ids=SMALL)
def test_second_view_is_of_another_phase_where_the_data_bring_one(options):
    batch = batch_of(3, partners=("phase",))
    views = built(options, partners=("phase",)).views(keys_of(3), batch, START)
    np.testing.assert_allclose(views[:, 0], in_units(batch), atol=1e-5)
    np.testing.assert_allclose(views[:, 1], in_units(batch["partners"]["phase"]), atol=1e-5)
    alone = built(options).views(keys_of(3), batch, START)
    np.testing.assert_array_equal(alone[:, 0], alone[:, 1])


@pytest.mark.parametrize("options", SMALL.values(), ids=SMALL)
def test_inputs_of_study_a(options):
    batch = batch_of(4, partners=("subject",))
    other = batch["partners"]["subject"]
    own, others = in_units(batch), in_units(other)
    heart, other_heart = batch["mask"][..., None] > 0, other["mask"][..., None] > 0
    air, other_air = (x.min((1, 2), keepdims=True) for x in (own, others))
    wanted = {
        "full": own,
        "heart": np.where(heart, own, air),
        "swapped": np.where(heart, own, np.where(other_heart, other_air, others)),
    }
    for style, images in wanted.items():
        method = built(replace(options, input=style), classes=3, partners=("subject",))
        views = method.views(keys_of(4), batch, START)
        for view in range(2):
            np.testing.assert_allclose(views[:, view], images, atol=1e-5, err_msg=style)


def test_the_other_phase_is_shown_in_the_same_style_with_its_own_mask():
    batch = batch_of(3, partners=("phase", "subject"))
    phase = batch["partners"]["phase"]
    method = built(replace(OPTIONS, input="heart"), classes=3, partners=("phase", "subject"))
    views = method.views(keys_of(3), batch, START)
    own = in_units(phase)
    wanted = np.where(phase["mask"][..., None] > 0, own, own.min((1, 2), keepdims=True))
    np.testing.assert_allclose(views[:, 1], wanted, atol=1e-5)


def test_a_style_without_masks_or_partner_is_refused():
    with pytest.raises(UserError, match=r"data\.masks"):
        built(replace(OPTIONS, input="heart"))
    with pytest.raises(UserError, match=r"data\.partners"):
        built(replace(OPTIONS, input="swapped"), classes=3, partners=("phase",))


@pytest.mark.parametrize("norm", [False, True])
def test_head_is_used_and_its_statistics_move(norm):
    """Both views of a sample are in one group: 4 samples are 8 rows."""
    method = built(replace(OPTIONS, projector_norm=norm))
    batch = batch_of(8)
    views = method.views(keys_of(8), batch, START)
    views = views + 0.3 * jax.random.normal(jax.random.key(1), views.shape)
    params, carry = method.init(jax.random.key(0), views)
    params = shaken(params)
    seen = method.forward(params, carry, views, keys_of(8), START)
    rows = 8 if norm else None
    embeddings = encoded(params["encoder"], views.reshape(16, *views.shape[2:]), 8)
    wanted = projected(params["head"], embeddings, rows)
    np.testing.assert_allclose(seen.outputs.reshape(16, 3), wanted, rtol=1e-3, atol=1e-3)

    moved = method.update(params, carry, {}, seen.moments, START)["statistics"]
    assert set(moved["head"]) == ({"norm0"} if norm else set())
    if norm:
        groups = (embeddings @ np.float64(params["head"]["layer0"]["kernel"])).reshape(2, 8, 7)
        np.testing.assert_allclose(moved["head"]["norm0"]["mean"], 0.25 * groups.mean((0, 1)), atol=1e-4)
        var = 0.75 + 0.25 * groups.var(1, ddof=1).mean(0)
        np.testing.assert_allclose(moved["head"]["norm0"]["var"], var, rtol=1e-4)


def test_normalisation_of_the_head_wants_groups():
    with pytest.raises(UserError, match="projector-norm"):
        simclr.build(replace(OPTIONS, projector_norm=True), ViT.tiny(), SPEC)


def objective(options, outputs, batch, params=None, **spec):
    metadata = {name: jnp.asarray(x) for name, x in batch.items() if name not in ("image", "mask", "partners")}
    method = built(options, **spec)
    return jax.jit(lambda p, z: method.objective(p, {}, Seen(z, None, None), metadata, START))(params or {}, outputs)


@pytest.mark.parametrize("where", ["all", "other_slices", "other_studies", "other_subjects"])
def test_negatives_by_where_they_are_from(where):
    groups = {"cine": [0, 0, 1, 2, 3, 4], "study": [0, 0, 1, 2, 2, 3], "subject": [0, 0, 0, 1, 1, 1]}
    batch = {**batch_of(6), **{name: np.array(group) for name, group in groups.items()}}
    outputs = jax.random.normal(jax.random.key(0), (6, 2, 3))
    loss, statistics = objective(replace(OPTIONS, negatives=where), outputs, batch)
    ids = np.arange(12) // 2
    name = {"all": "id", "other_slices": "cine", "other_studies": "study", "other_subjects": "subject"}[where]
    key = batch[name][ids]
    negative = np.ones((12, 12), bool) if where == "all" else key[:, None] != key
    wanted, _ = plain_contrastive_loss(outputs.reshape(12, 3), ids[:, None] == ids, negative=negative)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    monitor = statistics["monitor"]
    rows = np.asarray(outputs, np.float64).reshape(12, 3)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(monitor["positive_similarity"], (rows[::2] * rows[1::2]).sum(1).mean(), rtol=1e-5)
    assert monitor["anchors_without_positives"] == 0


def test_frames_of_one_slice_do_not_repel_where_they_may_be_partners():
    """In a batch with two frames of each slice, all that is left to repel is the other slices."""
    batch = {**batch_of(6), "cine": np.arange(6) // 2}
    outputs = jax.random.normal(jax.random.key(0), (6, 2, 3))
    loss, _ = objective(OPTIONS, outputs, batch, partners=("phase",))
    ids = np.arange(12) // 2
    wanted, _ = plain_contrastive_loss(
        outputs.reshape(12, 3), ids[:, None] == ids, negative=(ids // 2)[:, None] != ids // 2
    )
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)


def test_spread_tells_a_collapse():
    same = parts.spread(jnp.ones((8, 4)))
    assert same["embedding_std"] < 1e-6
    assert same["effective_rank"] < 1 + 1e-6
    corners = np.concatenate([np.eye(4), -np.eye(4)])
    full = parts.spread(jnp.asarray(corners * np.arange(1, 9)[:, None]))
    np.testing.assert_allclose([full["embedding_std"], full["effective_rank"]], [1, 4], rtol=1e-6)
    flat = parts.spread(jnp.asarray(corners[[0, 1, 4, 5]]))
    np.testing.assert_allclose([flat["embedding_std"], flat["effective_rank"]], [1, 2], rtol=1e-6)


def test_a_learnt_temperature_has_the_loss_of_a_fixed_one_and_a_gradient():
    batch, outputs = batch_of(6), jax.random.normal(jax.random.key(0), (6, 2, 3))
    options = replace(OPTIONS, learn_temperature=True, temperature=0.3)
    method = built(options)
    params, _ = method.init(jax.random.key(0), jnp.ones((4, 2, *SPEC.size, 1)))
    part = params["temperature"]
    assert part["sharpness"].dtype == jnp.float32
    fixed, _ = objective(replace(OPTIONS, temperature=0.3), outputs, batch)
    learnt, statistics = objective(options, outputs, batch, {"temperature": part})
    np.testing.assert_allclose(learnt, fixed, rtol=1e-6)
    np.testing.assert_allclose(statistics["monitor"]["temperature"], 0.3, rtol=1e-6)

    slope = jax.grad(lambda p: objective(options, outputs, batch, p)[0])({"temperature": part})
    near = [objective(replace(OPTIONS, temperature=0.3 * math.exp(-step)), outputs, batch)[0] for step in (0.01, -0.01)]
    np.testing.assert_allclose(slope["temperature"]["sharpness"], (near[0] - near[1]) / 0.02, rtol=1e-2)


def test_temperature_goes_down_to_a_hundredth_and_comes_back():
    batch, outputs = batch_of(6), jax.random.normal(jax.random.key(0), (6, 2, 3))
    beyond = {"temperature": {"sharpness": jnp.float32(SHARPEST + 2)}}
    loss, _ = objective(replace(OPTIONS, learn_temperature=True), outputs, batch, beyond)
    bounded, _ = objective(replace(OPTIONS, temperature=0.01), outputs, batch)
    np.testing.assert_allclose(loss, bounded, rtol=1e-4)
    for x, sign, wanted in ((SHARPEST + 2, 1, 1), (SHARPEST + 2, -1, 0), (SHARPEST - 1, 1, 1), (SHARPEST - 1, -1, -1)):
        assert jax.grad(lambda x, sign=sign: sign * at_most(x, SHARPEST))(x) == wanted


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (replace(OPTIONS, temperature=0.0), "temperature"),
        (replace(OPTIONS, temperature=0.005, learn_temperature=True), "begin there"),
        (replace(OPTIONS, projector=()), "projector"),
        (pcl.Options(threshold=0.0), "threshold"),
        (moco.Options(queue=0), "queue"),
        (moco.Options(momentum=1.0), "momentum"),
        (byol.Options(momentum=1.0), "momentum"),
        (byol.Options(predictor=(8, 4)), "predictor"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        options.check()
