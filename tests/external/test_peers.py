"""The PyTorch peers do the same mathematics as jaxssl: losses, gradients and views agree before any time is taken."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from rich.console import Console

from jaxssl import config
from jaxssl.bench.loader import PEER as LOADER
from jaxssl.bench.sides import OURS, Against
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.vit import ViT
from jaxssl.recipe import load_recipe
from jaxssl.run.augmenting import KORNIA, bench_augment
from jaxssl.run.contrasting import bench_loss
from jaxssl.run.step_against import step_against

pytest.importorskip("torch")
TORCH = Against("torch")
RESNET = ResNet(blocks=(1, 1, 1, 1), width=8, norm=Norm(group=8))
VIT = ViT(patch=8, width=24, depth=2, heads=3, layer_scale=0.1)
RECIPES = {
    "simclr on a ResNet": ("simclr:tiny", RESNET, {"data.layout.size": (64, 64)}),
    "dino on a ViT": ("dino:tiny", VIT, {"data.layout.size": (32, 32), "method.local_size": (16, 16)}),
    "mae": ("mae:tiny", replace(VIT, positions="sincos", layer_scale=None), {"method.normalise": True}),
    "segment on a U-Net": ("segment:tiny", None, {}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_steps_agree_and_are_timed(name, tmp_path):
    base, model, changes = RECIPES[name]
    recipe = load_recipe(base)
    recipe = config.override(recipe if model is None else replace(recipe, model=model), changes)
    config.check(recipe)
    record = step_against(recipe, TORCH, 1, 0.01, tmp_path, Console(quiet=True))
    assert list(record["sides"]) == [OURS, "torch"], "they would not be timed if losses or gradients differed"


def test_losses_agree_with_both_of_torch(tmp_path):
    record = bench_loss(rows=96, dim=16, out=tmp_path, rounds=1, seconds=0.01, against=TORCH)
    assert list(record["sides"]) == [OURS, "torch", "torch, as lightly"]
    assert max(record["against_float64"].values()) < 1e-5


@pytest.mark.parametrize("name", ["simclr:small", "dino:tiny", "segment:tiny"])
def test_views_agree_and_are_timed(name, tmp_path):
    record = bench_augment(name, tmp_path, batch=16, rounds=1, seconds=0.01, against=TORCH)
    kornia = [KORNIA] if find_spec("kornia") and name != "segment:tiny" else []
    assert list(record["sides"]) == [OURS, LOADER, *kornia]


def test_moves_of_both_are_drawn_alike():
    """Means and extremes of many random maps, of windows and of turns."""
    import sys

    import jax

    from jaxssl.augment.affine import draw_affine
    from jaxssl.augment.options import Augment
    from jaxssl.bench.sides import PEERS

    sys.path.insert(0, str(PEERS))
    try:
        import augment as peer  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(PEERS))
    shape, spacing, count = (40, 56), np.full(2, 1.5, np.float32), 3000
    for options in (Augment.upright(), Augment.study_a()):
        told = config.to_dict(options)
        theirs = np.stack([peer.draw_matrix(told, shape, 1.5, shape).numpy() for _ in range(count)])
        keys = jax.random.split(jax.random.key(0), count)
        ours = np.asarray(jax.vmap(lambda key: draw_affine(key, options, shape, spacing))(keys))  # noqa: B023
        spread = ours.std(0) + 1e-6
        np.testing.assert_array_less(np.abs(ours.mean(0) - theirs.mean(0)) / spread, 5 * (2 / count) ** 0.5 + 1e-3)
        np.testing.assert_allclose(theirs.std(0), ours.std(0), rtol=0.08, atol=1e-5)
