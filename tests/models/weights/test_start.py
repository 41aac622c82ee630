"""A run that starts from a file, as a user types it."""

import hashlib
import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
import samples
from models.weights.networks import SIZE, abstract, encoder_of, filled
from rich.console import Console

import jaxssl
from jaxssl.cli import main
from jaxssl.data.store import write
from jaxssl.errors import UserError
from jaxssl.models.weights.files import read_file, write_file
from jaxssl.models.weights.native import to_native
from jaxssl.models.weights.torch import to_torch
from jaxssl.recipe import load_recipe
from jaxssl.train.checkpoint import read
from jaxssl.train.monitors import Bar

VIT, UNET = (load_recipe(name).model for name in ("mae:tiny", "dino:tiny"))
STILL = {"optim.lr": 1e-12, "train.steps": 1}


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "discs"
    write(samples.records(subjects=10, slices=2, phases=2), path, name="discs", description="Noise.", licence="none")
    return path


@pytest.fixture(scope="session")
def parts():
    """A network that has seen three colours, in images of the recipe's size."""
    return encoder_of(VIT, size=(32, 24))


@pytest.fixture
def colours(parts, tmp_path):
    tensors, metadata = to_torch(VIT, parts, (32, 24))
    named = {f"module.{name}": array for name, array in tensors.items()}
    return write_file(tmp_path / "colours.safetensors", named | {"module.fc.weight": np.ones((5, 8))}, metadata)


def stopped_after_the_first_step(patch):
    def interrupted(bar, tick):
        if tick.step == 2:
            raise KeyboardInterrupt

    patch.setattr(Bar, "__call__", interrupted)


def test_a_run_starts_from_a_file_and_goes_on_without_it(store, parts, colours, tmp_path, monkeypatch, capsys):
    """A network without running statistics; no training moves it at such a rate."""
    workdir = tmp_path / "run"
    words = f"pretrain mae:tiny --data.store {store} --workdir {workdir} --init.weights {colours} --optim.lr 1e-12"
    words = f"{words} --train.steps 2 --train.checkpoint-every 1".split()
    with monkeypatch.context() as patch:
        stopped_after_the_first_step(patch)
        assert main(words) == 130
    facts = json.loads((workdir / "run.json").read_text())
    sha256 = hashlib.sha256(colours.read_bytes()).hexdigest()
    assert facts["init"] == str(colours)
    assert facts["init_parts"] == ["encoder"]
    assert facts["init_weights"]["sha256"] == sha256
    assert "not known" in facts["init_weights"]["subjects_seen"]
    assert f"--init.weights {colours}" in facts["command"]

    account = json.loads((workdir / "weights.json").read_text())
    fates = {line["name"]: (line["fate"], line["why"]) for line in account["tensors"]}
    assert account["sha256"] == sha256
    assert {name: fate for name, fate in fates.items() if fate[0] not in ("used", "fresh")} == {
        "module.fc.weight": ("left", "a classifier, or a head of a pretext"),
        "module.patch_embed.proj.weight": (
            "adapted",
            "from 3 to 1 channels of the image, their sum shared equally",
        ),
        "module.pos_embed": ("left", "the same sines and cosines are computed here"),
    }
    assert {name.split("/")[0] for name, (fate, _) in fates.items() if fate == "fresh"} == {"decoder"}
    assert set(read_file(colours).tensors) <= set(fates)
    shown = capsys.readouterr().err
    assert f"Starting from encoder of {colours}." in shown.replace("\n", "")
    assert "adapted" in shown
    assert "classifier" in shown

    before = (workdir / "run.json").read_text(), (workdir / "weights.json").read_text()
    colours.unlink()
    assert main(words) == 0
    facts_after = json.loads((workdir / "run.json").read_text())
    kept = ("init", "init_parts", "init_weights", "subjects_seen")
    assert {name: facts_after[name] for name in kept} == {name: json.loads(before[0])[name] for name in kept}
    assert (workdir / "weights.json").read_text() == before[1]

    state = read(workdir / "checkpoints", print).state["params"]["encoder"]
    wanted = parts["encoder"]["params"]
    kernel = wanted["patch"]["kernel"].sum(2, keepdims=True)
    wanted = {**wanted, "patch": {**wanted["patch"], "kernel": kernel}}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, wanted)


def native(parts, path, subject):
    """As `jaxssl export` writes it."""
    return write_file(path, to_native(parts), {"format": "jaxssl", "seen": json.dumps({"": {subject: ["0a"]}})})


def assert_refused(store, workdir, changes, sentence, recipe="mae:tiny"):
    with pytest.raises(UserError, match=sentence):
        jaxssl.pretrain(recipe, workdir, {"data.store": str(store), **STILL, **changes}, Console(quiet=True))
    assert not Path(workdir).exists()


def test_what_cannot_be_a_start_is_refused_before_a_folder_is_made(store, colours, tmp_path):
    run, file = tmp_path / "run", {"init.weights": str(colours)}
    both = {"init.run": "runs/a", "init.weights": "b.safetensors"}
    assert_refused(store, run, both, r"init\.run runs/a and init\.weights b\.safetensors are two beginnings")
    assert_refused(store, run, {"init.weights": str(tmp_path / "none.safetensors")}, "no weights are downloaded here")
    assert_refused(store, run, {**file, "init.parts": ("decoder",)}, "init.parts leaves out the encoder")
    assert_refused(store, run, {**file, "init.parts": ("encodr",)}, "asks for encodr, but .* has encoder")
    tensors = to_torch(UNET, encoder_of(UNET), SIZE).tensors
    path = write_file(tmp_path / "other.safetensors", tensors, {})
    sentence = r"other\.safetensors looks like a U-Net of 2 levels, and the recipe has a ViT"
    assert_refused(store, run, {"init.weights": str(path)}, sentence)
    whole = colours.read_bytes()
    colours.write_bytes(whole[: len(whole) // 2])
    assert_refused(store, run, file, r"colours\.safetensors cannot be read as safetensors")


def test_a_native_file_says_which_subjects_it_has_seen_and_fills_student_and_teacher(store, tmp_path):
    mine = filled(abstract(UNET, channels=1))
    split = jaxssl.data.source.open_source(load_recipe("dino:tiny", {"data.store": str(store)}).data).split
    leak = {"init.weights": str(native(mine, tmp_path / "leak.safetensors", split.test[0]))}
    sentence = r"1 test subjects were already seen by .*leak\.safetensors"
    assert_refused(store, tmp_path / "run", leak, sentence, recipe="dino:tiny")

    path = native(mine, tmp_path / "fine.safetensors", "somebody else")
    workdir = tmp_path / "run"
    changes = {"data.store": str(store), **STILL, "init.weights": str(path)}
    jaxssl.pretrain("dino:tiny", workdir, changes, Console(quiet=True))
    facts = json.loads((workdir / "run.json").read_text())
    assert json.loads((workdir / "seen.json").read_text())[""]["somebody else"] == ["0a"]
    assert facts["subjects_seen"] == 1 + len(split.train)
    assert facts["init_weights"]["subjects_seen"] == 1
    lines = json.loads((workdir / "weights.json").read_text())["tensors"]
    decoder = {line["why"] for line in lines if line["name"].startswith("decoder/")}
    assert decoder == {"a part that init.parts does not ask for, or this method has not"}
    state = read(workdir / "checkpoints", print).state
    for holder in (state, state["carry"]["teacher"]):
        found = holder["params"]["encoder"]
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, mine["encoder"]["params"])
