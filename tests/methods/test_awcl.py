"""AWCL's positives: one label, decided sample by sample; the anatomy ratio keeps a fixed, nested share of labels."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from methods.backbone import SPEC, Backbone, batch_of, progress_at
from objectives.plain import plain_contrastive_loss

from jaxssl.data.phantom.ultrasound.views import VIEWS
from jaxssl.errors import UserError
from jaxssl.methods import awcl, simclr
from jaxssl.methods.base import Seen, metadata
from jaxssl.recipe import load_recipe

# The first is unlabelled: in the published code it would decide for the whole batch.
LABEL = np.array([-1, 2, 2, -1, 1, 2, 0], np.int32)
SUBJECT = np.array([0, 0, 0, 1, 1, 2, 3], np.int32)


def objective(outputs, batch, **options):
    method = awcl.build(awcl.Options(**options), Backbone(), replace(SPEC, labels=3))
    metadata = {name: jnp.asarray(batch[name]) for name in ("id", "label", "subject", "study")}
    return method.objective({}, {}, Seen(outputs, None, None), metadata, progress_at(0))


@pytest.mark.parametrize("positives", ["all", "own_subject", "other_subjects"])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_loss_is_the_plain_one_over_the_labels_that_are_used(positives, ratio):
    batch = {**batch_of(7), "label": LABEL, "subject": SUBJECT}
    used = LABEL if ratio == 1 else np.where(awcl.chosen(jnp.arange(7), ratio, 3), LABEL, -1)
    related = (used[:, None] == used) & (used >= 0)
    own = SUBJECT[:, None] == SUBJECT
    related &= {"all": np.ones_like(own), "own_subject": own, "other_subjects": ~own}[positives]
    of_views = np.repeat(np.repeat(related | np.eye(7, dtype=bool), 2, 0), 2, 1)
    outputs = jax.random.normal(jax.random.key(0), (7, 2, 3))
    wanted, _ = plain_contrastive_loss(outputs.reshape(14, 3), of_views, temperature=0.5)
    loss, statistics = objective(outputs, batch, positives=positives, ratio=ratio, ratio_seed=3)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    assert statistics["monitor"]["anchors_without_positives"] == 0


def test_without_labels_that_are_used_it_is_simclr_to_the_bit():
    """The same start, the same loss, the same gradient of every weight."""
    batch = {**batch_of(8), "label": np.arange(8) // 2, "subject": np.arange(8) // 4}
    method = awcl.build(awcl.Options(ratio=0.0), Backbone(), replace(SPEC, labels=4))
    common = {name: getattr(awcl.Options(), name) for name in ("temperature", "projector")}
    plain = simclr.build(simclr.Options(**common), Backbone(), SPEC)
    found = [stepped(each, batch) for each in (method, plain)]
    jax.tree.map(np.testing.assert_array_equal, *found)
    labelled = awcl.build(awcl.Options(), Backbone(), replace(SPEC, labels=4))
    assert stepped(labelled, batch)[0] != found[0][0]


def stepped(method, batch):
    """Loss, gradient and parameters of a method on a batch."""
    keys = jax.random.split(jax.random.key(1), 8)
    views = method.views(keys, batch, progress_at(0))
    params, carry = method.init(jax.random.key(2), views)

    def loss(params):
        seen = method.forward(params, carry, views, keys, progress_at(0))
        return method.objective(params, carry, seen, metadata(batch), progress_at(0))[0]

    return *jax.value_and_grad(loss)(params), params


IDS = jnp.arange(4000)
draw = jax.jit(awcl.chosen, static_argnums=(1, 2))


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_the_share_is_the_ratio(ratio):
    # Four standard deviations of a binomial share.
    assert abs(draw(IDS, ratio, 0).mean() - ratio) <= 4 * np.sqrt(ratio * (1 - ratio) / len(IDS))


@settings(max_examples=15, deadline=None)
@given(ratios=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), seed=st.integers(0, 2**31 - 1))
def test_a_larger_ratio_keeps_what_a_smaller_one_has(ratios, seed):
    small, large = (awcl.chosen(IDS[:40], ratio, seed) for ratio in ratios)
    assert not np.any(small & ~large)


def test_the_choice_is_that_of_the_image_and_the_seed():
    whole = draw(IDS, 0.5, 0)
    np.testing.assert_array_equal(draw(IDS[::-7], 0.5, 0), whole[::-7])
    with jax.enable_x64(True):
        np.testing.assert_array_equal(draw(IDS, 0.5, 0), whole)
    # Independent seeds agree on half of the images.
    assert abs((draw(IDS, 0.5, 1) == whole).mean() - 0.5) < 4 * 0.5 / np.sqrt(len(IDS))


def test_without_labels_it_is_refused():
    with pytest.raises(UserError, match=r"data\.label"):
        awcl.build(awcl.Options(), Backbone(), SPEC)


@pytest.mark.parametrize("options", [{"ratio": 1.5}, {"ratio_seed": -1}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        awcl.Options(**options).check()


def test_recipes_know_the_planes_of_the_ultrasound_phantom_and_their_organs():
    assert set(load_recipe("awcl").data.views) == set(VIEWS)
    groups = dict(group.split("=") for group in load_recipe("awcl:coarse").data.label_groups)
    assert {plane: organ for organ, planes in groups.items() for plane in planes.split(",")} == {
        plane: view.organ for plane, view in VIEWS.items()
    }
