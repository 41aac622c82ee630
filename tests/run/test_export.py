"""Exports: what is written is what the run has, a card says what it is, and nothing else is ever in the way."""

import hashlib
import json
import os
import re

import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.models.weights.files import read_file
from jaxssl.models.weights.paths import by_path
from jaxssl.run.common import load_run
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
    told = {name: json.loads(file.metadata[name]) for name in ("recipe", "subjects_seen", "parts", "size", "spacing")}
    assert told["parts"] == ["encoder", "decoder", "head"]
    assert (told["size"], told["spacing"], told["recipe"]["name"]) == ([32, 24], 4.0, "segment:tiny")
    assert told["subjects_seen"] == existing(runs / "segment").subjects_seen()

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
    seen = existing(runs / "segment").subjects_seen()
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


def test_an_unfinished_run_is_exported_with_a_warning(runs, tmp_path, capsys):
    facts = json.loads((runs / "mim" / "run.json").read_text())
    try:
        (runs / "mim" / "run.json").write_text(json.dumps({**facts, "status": "running"}))
        out = jaxssl.export(runs / "mim", out=tmp_path / "out")
    finally:
        (runs / "mim" / "run.json").write_text(json.dumps(facts))
    assert "is not finished; this is its checkpoint of step 1" in " ".join(capsys.readouterr().err.split())
    assert "The run is not finished: this is its checkpoint of step 1." in (out / "README.md").read_text()
