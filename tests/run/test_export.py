"""Exports: what is written is what the run has, a card says what it is, and nothing else is ever in the way."""

import contextlib
import hashlib
import json
import os
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import build
from jaxssl.models.vit import ViT
from jaxssl.models.weights.files import read_file
from jaxssl.models.weights.paths import by_path
from jaxssl.recipe import load_recipe
from jaxssl.run.common import LoadedRun, load_run
from jaxssl.run.shown import shown
from jaxssl.train.checkpoint import read
from jaxssl.workdir import existing


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    """A run without labels, in half precision and with group normalisation, and a segmentation that was probed."""
    folder = tmp_path_factory.mktemp("runs")
    half = {"train.precision": "bfloat16", "model.norm.type": "group", "train.steps": 1}
    jaxssl.pretrain("mim:tiny", folder / "mim", {"data.store": str(store), **half})
    jaxssl.finetune("segment:tiny", folder / "segment", {"data.store": str(store), "optim.lr": 0.01})
    jaxssl.probe(folder / "segment", k=5)
    return folder


def loaded(run):
    return load_run(existing(run), print)


def test_a_native_file_is_the_run_to_the_bit_and_starts_another(runs, store, tmp_path):
    out = jaxssl.export(runs / "segment", out=tmp_path / "weights")
    file, saved = read_file(out / "model.safetensors"), by_path(loaded(runs / "segment").parts)
    assert file.tensors.keys() == saved.keys()
    for name, value in saved.items():
        np.testing.assert_array_equal(file.tensors[name], value)
    told = {name: json.loads(file.metadata[name]) for name in ("recipe", "seen", "parts", "size", "spacing")}
    assert told["parts"] == ["encoder", "decoder", "head"]
    assert (told["size"], told["spacing"], told["recipe"]["name"]) == ([32, 24], 4.0, "segment:tiny")
    assert told["seen"] == existing(runs / "segment").seen().to_json()

    still = {"data.store": str(store), "init.weights": str(out / "model.safetensors"), "optim.lr": 1e-30}
    jaxssl.finetune("segment:tiny", tmp_path / "still", {**still, "train.steps": 1})
    taken = by_path(read(tmp_path / "still" / "checkpoints", print).state["params"])
    for name in (name for name in saved if name.startswith(("encoder/params", "decoder/params"))):
        np.testing.assert_array_equal(taken[name.replace("/params", "", 1)], saved[name])
    with pytest.raises(UserError, match="already seen"):
        jaxssl.finetune("segment:tiny", tmp_path / "leak", {**still, "data.split_seed": 1})


def test_the_encoder_in_a_file_embeds_as_that_of_the_run(runs, tmp_path):
    out = jaxssl.export(runs / "mim", parts=("encoder",), out=tmp_path / "encoder")
    images = np.random.default_rng(0).integers(0, 999, (3, 32, 24))
    found, expected = (jaxssl.load(path)(images) for path in (out / "model.safetensors", runs / "mim"))
    np.testing.assert_array_equal(found, expected)


def test_a_file_for_torch_has_its_layout(runs, tmp_path):
    out = jaxssl.export(runs / "mim", "timm", out=tmp_path / "timm")
    tensors, saved = read_file(out / "model.safetensors").tensors, loaded(runs / "mim").parts["encoder"]["params"]
    kernel = saved["level1"]["first"]["conv"]["kernel"]
    np.testing.assert_array_equal(tensors["encoder.level1.first.conv.weight"], np.transpose(kernel, (3, 2, 0, 1)))
    assert {name.partition(".")[0] for name in tensors} == {"encoder"}


def test_an_onnx_file_segments_and_embeds_as_jax_does(runs, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    images = np.random.default_rng(0).standard_normal((4, 1, 32, 24)).astype(np.float32)

    def ran(run, output, **options):
        out = jaxssl.export(runs / run, "onnx", out=tmp_path / f"{run}-{output}", **options)
        session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
        return session.run([output], {"images": images})[0]

    segment, upright = loaded(runs / "segment"), jnp.moveaxis(images, 1, -1)
    batch = {"image": upright, "mean": jnp.zeros(4), "std": jnp.ones(4)}
    masks = segment.method.predict(segment.parts, batch)
    np.testing.assert_allclose(ran("segment", "probabilities"), np.moveaxis(masks, -1, 1), atol=1e-5)
    np.testing.assert_allclose(ran("segment", "probabilities").sum(1), 1, atol=1e-5)
    for run in ("segment", "mim"):  # of which mim was trained in half precision, and is exported in float32
        own = loaded(runs / run)
        encoder = own.recipe.model.encoder(jnp.float32, 1)
        embedding = parts.evaluate(encoder, *own.parts["encoder"].values(), upright).embedding
        np.testing.assert_allclose(ran(run, "embedding", parts=("encoder",)), embedding, atol=1e-5)


def test_an_onnx_file_that_gives_other_numbers_is_not_kept(runs, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("jaxssl.run.onnx.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="other numbers than JAX"):
        jaxssl.export(runs / "mim", "onnx", out=tmp_path / "onnx")
    assert os.listdir(tmp_path) == []


def test_an_onnx_file_that_gives_no_numbers_is_not_kept(runs, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    run = onnxruntime.InferenceSession.run
    monkeypatch.setattr(
        onnxruntime.InferenceSession, "run", lambda self, *given: [np.nan * each for each in run(self, *given)]
    )
    with pytest.raises(UserError, match=r"other numbers than JAX \(by up to nan\)"):
        jaxssl.export(runs / "mim", "onnx", out=tmp_path / "onnx")
    assert os.listdir(tmp_path) == []


def test_a_network_that_loops_over_its_blocks_is_written_without_the_loop(tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from jaxssl.run.onnx import write_onnx

    vit = ViT(patch=4, width=8, depth=3, heads=2, scan=True, remat=True, decoder_widths=(4, 6))
    recipe = replace(load_recipe("segment:tiny"), model=vit)
    method = build(recipe.method, vit, recipe.spec(1, 3, 0))
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, *recipe.data.layout.size, 1)).astype(np.float32)
    fresh = jax.eval_shape(lambda: method.parts(*method.init(jax.random.key(1), {"image": image})))
    own = jax.tree.map(lambda leaf: 0.3 * rng.standard_normal(leaf.shape).astype(np.float32), fresh)
    written = write_onnx(
        tmp_path / "vit.onnx",
        LoadedRun(recipe, method, 1, own),
        {"channels": 1, "classes": ["air", "heart", "blood"], "labels": []},
        ("encoder", "decoder", "head"),
        {},
    )
    session = onnxruntime.InferenceSession(tmp_path / "vit.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": np.moveaxis(image, -1, 1)})
    expected = jax.jit(method.predict)(own, {"image": image, "mean": jnp.zeros(2), "std": jnp.ones(2)})
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 1), atol=1e-5)
    assert (written.shape, written.output) == ((3, 32, 24), "probabilities")


def test_without_onnx_the_extra_is_named(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'jaxssl\[export\]'"):
        jaxssl.export(runs / "mim", "onnx", out=tmp_path / "onnx")


def test_the_card_says_what_was_measured_and_that_data_are_synthetic(runs, tmp_path):
    out = jaxssl.export(runs / "segment", out=tmp_path / "weights")
    card, scores = (out / "README.md").read_text(), json.loads((runs / "segment" / "evaluation.json").read_text())
    probe = json.loads((runs / "segment" / "probe.json").read_text())
    flat = " ".join(card.split())
    assert "cine_phantom, which is **SYNTHETIC" in flat
    assert hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest() in card
    assert "Resample it to 4.0 mm a pixel" in card
    assert "to 32 x 24 pixels (y, x)" in card
    assert f"| {scores['mean_dice']:.3f} |" in card
    assert f"3D Dice of {scores['n']} test subjects" in card
    assert f"linear {probe['linear']['accuracy']:.3f}" in card
    (seen,) = existing(runs / "segment").seen().subjects.values()
    assert f"| subjects seen | {len(seen)}," in card
    assert not any(re.search(rf"\b{subject}\b", card) for subject in seen)
    recipe = re.search(r"```json\n(.*?)\n```", card, re.DOTALL)
    assert recipe is not None
    assert json.loads(recipe[1]) == json.loads((runs / "segment" / "recipe.json").read_text())


def test_an_export_replaces_an_export_and_nothing_else(runs, tmp_path):
    assert main(["export", str(runs / "mim"), "--out", str(tmp_path / "out")]) == 0
    assert main(["export", str(runs / "mim"), "--format", "timm", "--out", str(tmp_path / "out")]) == 0
    assert "timm" in (tmp_path / "out" / "README.md").read_text()
    assert os.listdir(tmp_path) == ["out"]
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="more than an export"):
        jaxssl.export(runs / "mim", out=tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine")
    with pytest.raises(UserError, match="more than an export"):
        jaxssl.export(runs / "mim", out=tmp_path / "other")
    assert (tmp_path / "out" / "notes.txt").read_text() == (tmp_path / "other" / "README.md").read_text() == "mine"


def test_parts_that_are_not_there_or_do_not_go_together_are_refused(runs, tmp_path):
    with pytest.raises(UserError, match=r"asks for teacher, but .* has decoder, encoder, head"):
        jaxssl.export(runs / "mim", parts=("teacher",))
    pytest.importorskip("onnx")
    with pytest.raises(UserError, match="can hold the encoder alone, not encoder, decoder, head"):
        jaxssl.export(runs / "mim", "onnx", parts=("encoder", "decoder", "head"))
    with pytest.raises(UserError, match="or encoder, decoder and head together, not decoder"):
        jaxssl.export(runs / "segment", "onnx", parts=("decoder",))
    assert not (runs / "mim" / "export").exists()


@contextlib.contextmanager
def told(run, **facts):
    """The run with other facts in its run.json, for a while."""
    before = (run / "run.json").read_text()
    try:
        (run / "run.json").write_text(json.dumps({**json.loads(before), **facts}))
        yield
    finally:
        (run / "run.json").write_text(before)


def test_an_unfinished_run_is_exported_with_a_warning(runs, tmp_path, capsys):
    with told(runs / "mim", status="running"):
        out = jaxssl.export(runs / "mim", out=tmp_path / "out")
    assert "is not finished; this is its checkpoint of step 1" in " ".join(capsys.readouterr().err.split())
    assert "The run is not finished: this is its checkpoint of step 1." in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("init", "sentence"),
    [
        ("net.pth", "| started from | encoder of net.pth (sha256 abc) |"),
        ("runs/first", "| started from | encoder of runs/first, which began from net.pth (sha256 abc) |"),
    ],
)
def test_a_digest_is_said_of_the_file_that_it_is_of(runs, tmp_path, init, sentence):
    file = {"file": "net.pth", "sha256": "abc", "subjects_seen": 0}
    with told(runs / "mim", init=init, init_parts=["encoder"], init_weights=file):
        assert sentence in (jaxssl.export(runs / "mim", out=tmp_path / "out") / "README.md").read_text()


def test_whoever_takes_an_encoder_hears_what_it_was_shown(runs, tmp_path, capsys, monkeypatch):
    for style, words in [("heart", "shown the heart alone"), ("box", "shown all but a box about the heart")]:
        heard = shown(load_recipe("simclr:tiny", {"method.input": style, "data.masks": True}))
        for place in ("exporting", "encoder"):
            monkeypatch.setattr(f"jaxssl.run.{place}.shown", lambda recipe, heard=heard: heard)
        card = (jaxssl.export(runs / "mim", out=tmp_path / "out") / "README.md").read_text()
        jaxssl.load(runs / "mim")
        warnings = " ".join(capsys.readouterr().err.split())
        assert f"**In training it was {words}" in card
        assert warnings.count(f"{words}: all that lies") == 2
        assert warnings.count("set to the smallest value of the image") == 2
    assert shown(load_recipe("simclr:tiny")) == shown(load_recipe("mim:tiny")) == ""
