"""PCL's positives: near in position, across subjects; an image of unknown position keeps its own other view."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import SPEC, Backbone, batch_of, progress_at
from objectives.plain import plain_contrastive_loss

from jaxssl.methods import pcl
from jaxssl.methods.base import Seen
from jaxssl.objectives import near_position

NAN = np.nan
POSITION = np.array([0.0, 0.25, 0.3, NAN, 0.5, 0.36, NAN], np.float32)
SUBJECT = np.array([0, 0, 1, 1, 2, 2, 3], np.int32)
NEAR = {0.1: [(1, 2), (2, 5)], 0.35: [(0, 1), (0, 2), (1, 2), (1, 4), (1, 5), (2, 4), (2, 5), (4, 5)]}
"""Pairs of samples that differ by less, read off the positions."""


@pytest.mark.parametrize("slices", range(6, 22))
def test_slices_exactly_at_the_threshold_are_not_near_whatever_the_rounding(slices):
    """Places k / (n - 1): (n - 1) |i - j| apart is to be less than .1, in whole numbers 10 |i - j| < n - 1."""
    number = np.arange(slices)
    position = (number / (slices - 1)).astype(np.float32)
    near = near_position(jnp.asarray(position), 0.1)(jnp.asarray(number), jnp.asarray(number))
    np.testing.assert_array_equal(near, 10 * np.abs(number[:, None] - number) < slices - 1)


@pytest.mark.parametrize("threshold", NEAR)
@pytest.mark.parametrize("positives", ["all", "other_subjects"])
def test_loss_is_the_plain_one_over_the_pairs_written_out(threshold, positives):
    batch = {**batch_of(7), "position": POSITION, "subject": SUBJECT}
    related = np.eye(7, dtype=bool)
    for a, b in NEAR[threshold]:
        if positives == "all" or SUBJECT[a] != SUBJECT[b]:
            related[a, b] = related[b, a] = True
    outputs = jax.random.normal(jax.random.key(0), (7, 2, 3))
    of_views = np.repeat(np.repeat(related, 2, 0), 2, 1)
    wanted, without = plain_contrastive_loss(outputs.reshape(14, 3), of_views, temperature=0.1)

    method = pcl.build(pcl.Options(threshold=threshold, positives=positives), Backbone(), SPEC)
    metadata = {name: jnp.asarray(batch[name]) for name in ("id", "position", "subject", "study")}
    loss, statistics = method.objective({}, {}, Seen(outputs, None, None), metadata, progress_at(0))
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    assert statistics["monitor"]["anchors_without_positives"] == without == 0
