"""The verb `saliency` on small classifiers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.data.source import open_source
from jaxssl.errors import UserError
from jaxssl.models.vit import ViT
from jaxssl.recipe import load_recipe
from jaxssl.run.common import load_run
from jaxssl.run.saliency import Map, _explainer, _place, saliency
from jaxssl.workdir import Workdir, existing

VIT = ViT(patch=8, width=16, depth=2, heads=2, scan=True, remat=True)
"""Blocks in a loop, recomputed: neither lets its attention be seen from outside."""


def finetuned(folder, store, **options):
    recipe = load_recipe("classify:tiny", {"data.store": str(store), "train.steps": 2})
    return jaxssl.finetune(replace(recipe, **options), folder)


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    """A U-Net's encoder that classifies its last map, and a ViT that classifies its class token."""
    folder = tmp_path_factory.mktemp("classifiers")
    method = replace(load_recipe("classify:tiny").method, pool="embedding")
    return finetuned(folder / "unet", store), finetuned(folder / "vit", store, model=VIT, method=method)


def read(run, name="saliency.json"):
    return json.loads((run / name).read_text())


def test_a_cnn_is_explained_by_grad_cam(runs, store, capsys):
    run, _ = runs
    before = dict(np.load(run / "pictures.npz"))
    assert main(["saliency", str(run)]) == 0
    said, found = capsys.readouterr().err, read(run)
    assert (found["map"], found["on"], found["masks_by"], found["data"]) == (
        "gradcam",
        "test",
        "",
        "cine_phantom (synthetic)",
    )
    assert f"Dice {found['dice']:.3f}" in said
    assert "true masks" in said
    assert ("much like those of random weights" in said) == (not found["sanity"]["passed"])
    source = open_source(load_recipe("classify:tiny", {"data.store": str(store)}).data)
    cache = source.cache
    assert cache.masks is not None
    samples = source.samples(source.split.test)
    hearts: dict[str, list[float]] = {}
    for row in [*samples.rows, *samples.partners["es"]]:
        hearts.setdefault(cache.names["subject"][cache.table["subject"][row]], []).append((cache.masks[row] > 0).mean())
    assert sorted(hearts) == [row["subject"] for row in found["subjects"]]
    for row in found["subjects"]:
        shares = [share for share in hearts[row["subject"]] if share]
        assert (row["images"], row["share"]) == (len(shares), pytest.approx(np.mean(shares)))
    for name in ("dice", "energy", "pointing", "share"):
        assert found[name] == pytest.approx(np.mean([row[name] for row in found["subjects"]]))
    assert (found["n"], found["images"] + found["left_out"]) == (len(hearts), 2 * len(samples.rows))
    pictures = np.load(run / "pictures.npz")
    assert set(pictures) == {*before, "saliency/image", "saliency/map", "saliency/mask"}
    assert len(pictures["saliency/map"]) == min(8, found["n"])


def test_a_vit_is_explained_by_rollout_though_its_blocks_are_in_a_loop(runs):
    _, run = runs
    found = saliency(run, on="validation")
    assert found == read(run, "saliency-validation.json")
    assert not (run / "saliency.json").exists(), "that of the test subjects is another file"
    assert (found["map"], found["on"]) == ("rollout", "validation")
    assert "saliency-validation/map" in np.load(run / "pictures.npz").files
    assert found["empty"] == 0
    # The head plays no part in it, all else does.
    assert found["sanity"]["head"] == pytest.approx(1)
    assert found["sanity"]["all"] < 0.99


def test_maps_that_random_weights_would_give_are_warned_of(runs, capsys):
    """After two steps a network is much as it was drawn; whether its maps pass is for the numbers to say."""
    _, run = runs
    found = saliency(run, "gradients")["sanity"]
    assert found["passed"] == (abs(found["all"]) < 0.3)
    assert ("much like those of random weights" in capsys.readouterr().err) == (not found["passed"])


def test_pictures_are_added_to_those_that_are_there_and_their_file_is_closed(tmp_path, monkeypatch):
    opened, load = [], np.load
    monkeypatch.setattr(np, "load", lambda *args, **options: opened.append(load(*args, **options)) or opened[-1])
    for name in ("a", "b"):
        Workdir(tmp_path).add_pictures({name: np.zeros((1, 2, 2))})
    assert [each.zip for each in opened] == [None]
    with load(tmp_path / "pictures.npz") as saved:
        assert saved.files == ["a", "b"]


def test_another_map_goes_beside_the_first(tmp_path):
    def write(map, on="test"):
        path = _place({"map": map, "on": on}, Workdir(tmp_path))
        path.write_text(json.dumps({"map": map}))
        return path.name

    names = ["saliency.json", "saliency-gradients.json"]
    assert [write(map) for map in ("gradcam", "gradients", "gradcam", "gradients")] == names * 2
    assert write("gradients", "validation") == "saliency-validation.json"


def test_few_images_are_explained_at_once_however_large_the_batch_of_training(runs, store):
    """Study A trains on 256 pairs, with gradients spread over devices and micro-batches, which maps are not."""
    run, _ = runs
    loaded = load_run(existing(run), pytest.fail)
    source = open_source(load_recipe("classify:tiny", {"data.store": str(store)}).data)
    for batch, wanted in ((256, 16), (8, 8)):
        recipe = replace(loaded.recipe, train=replace(loaded.recipe.train, batch=batch))
        found = _explainer(replace(loaded, recipe=recipe), "gradcam", source, source.samples(source.split.test))
        assert found.batch == wanted


def test_what_cannot_be_explained_is_refused(runs, run):
    unet, vit = runs
    refusals: list[tuple[Path, Map | None, str]] = [
        (unet, "rollout", "follows the attention of a ViT, and this run has a UNet"),
        (vit, "gradcam", "reads them from an embedding"),
        (run, None, "has not learnt to classify"),
    ]
    for refused, map, sentence in refusals:
        with pytest.raises(UserError, match=sentence):
            saliency(refused, map)
