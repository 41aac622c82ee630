"""Rank correlation against scipy, and weights drawn anew."""

import jax
import numpy as np
import pytest
from evaluate.saliency import looker
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from jaxssl.evaluate.saliency.sanity import drawn_anew, rank_correlation
from jaxssl.methods import classify
from jaxssl.methods.base import Spec, build
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet

MAPS = arrays(np.float64, (4, 3), elements=st.integers(0, 5).map(float))


@given(MAPS, MAPS)
def test_rank_correlation_is_spearmans(one, other):
    found = rank_correlation(one, other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert found is None
    else:
        wanted = float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
        assert found == pytest.approx(wanted, abs=1e-12)
        assert rank_correlation(other, one) == pytest.approx(wanted)
        assert rank_correlation(np.exp(one), other) == pytest.approx(wanted)
        assert rank_correlation(-one, other) == pytest.approx(-wanted)


def test_every_layer_is_drawn_anew():
    """No kernel of one draw is that of another; what begins at a constant is what it begins at."""
    model = UNet(widths=(4, 8), norm=Norm(group=2))
    method = build(classify.Options(), model, Spec(looker.SIZE, looker.CHANNELS, partners=("es",), labels=3))
    batch = {**looker.batch_of(1, ("es",)), "spacing": np.ones((1, 2), np.float32)}
    batch["partners"]["es"]["spacing"] = batch["spacing"]
    first, again, second = (drawn_anew(method, jax.random.key(seed), batch) for seed in (0, 0, 1))
    assert first.keys() == {"encoder", "head"}
    jax.tree.map(np.testing.assert_array_equal, first, again)
    leaves = [jax.tree_util.tree_leaves_with_path(drawn) for drawn in (first, second)]
    for (path, one), (_, two) in zip(*leaves, strict=True):
        drawn = path[-1].key == "kernel"
        assert np.array_equal(one, two) != drawn, jax.tree_util.keystr(path)
