"""A run that starts from a file, as a user types it."""

import hashlib
import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from models.weights.networks import abstract, filled
from rich.console import Console

import jaxssl
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.models.weights.files import read_file, write_file
from jaxssl.models.weights.native import to_native
from jaxssl.models.weights.torch import to_torch
from jaxssl.recipe import load_recipe
from jaxssl.train.checkpoint import read
from jaxssl.train.monitors import Bar

MODEL = load_recipe("simclr:tiny").model
STILL = {"optim.lr": 1e-12, "train.steps": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom"
    return jaxssl.data_phantom(path, jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))


@pytest.fixture(scope="module")
def parts():
    """A network that has seen three colours."""
    return filled(abstract(MODEL))


@pytest.fixture
def colours(parts, tmp_path):
    tensors, metadata = to_torch(MODEL, parts, (32, 48))
    only = {f"module.{name}": array for name, array in tensors.items() if name.startswith("encoder.")}
    return write_file(tmp_path / "colours.safetensors", only | {"module.fc.weight": np.ones((5, 8))}, metadata)


def stopped_after_the_first_step(patch):
    def interrupted(bar, tick):
        if tick.step == 2:
            raise KeyboardInterrupt

    patch.setattr(Bar, "__call__", interrupted)


def test_a_run_starts_from_a_file_and_goes_on_without_it(store, parts, colours, tmp_path, monkeypatch, capsys):
    workdir = tmp_path / "run"
    words = ["pretrain", "simclr:tiny", "--data.store", str(store), "--workdir", str(workdir)]
    words += [
        "--init.weights",
        str(colours),
        "--optim.lr",
        "1e-12",
        "--train.steps",
        "2",
        "--train.checkpoint-every",
        "1",
    ]
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
    assert fates["module.fc.weight"] == ("left", "a classifier, or a head of a pretext")
    assert fates["module.encoder.level0.first.conv.weight"][0] == "adapted"
    assert {name for name, (fate, _) in fates.items() if fate != "used"} == {
        "module.fc.weight",
        "module.encoder.level0.first.conv.weight",
    }
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
    wanted["level0"]["first"]["conv"]["kernel"] = wanted["level0"]["first"]["conv"]["kernel"].sum(2, keepdims=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, wanted)


def native(parts, path, subjects=None, **metadata):
    """As `jaxssl export` writes it."""
    said = {"format": "jaxssl", **metadata} | ({} if subjects is None else {"subjects_seen": json.dumps(subjects)})
    return write_file(path, to_native(parts), said)


def refused(store, workdir, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        jaxssl.pretrain("simclr:tiny", workdir, {"data.store": str(store), **STILL, **changes}, Console(quiet=True))
    assert not Path(workdir).exists()


def test_what_cannot_be_a_start_is_refused_before_a_folder_is_made(store, parts, colours, tmp_path):
    run = tmp_path / "run"
    both = {"init.run": "runs/a", "init.weights": "b.safetensors"}
    refused(store, run, both, r"init\.run runs/a and init\.weights b\.safetensors are two beginnings")
    refused(store, run, {"init.weights": str(tmp_path / "none.safetensors")}, "no weights are downloaded here")
    refused(store, run, {"init.weights": str(colours), "init.parts": ("decoder",)}, "init.parts")
    refused(
        store, run, {"init.weights": str(colours), "init.parts": ("encodr",)}, "asks for encodr, but .* has encoder"
    )
    other = UNet(widths=(4, 8, 8), norm=Norm(group=8))
    tensors = to_torch(other, filled(abstract(other)), (32, 48)).tensors
    path = write_file(tmp_path / "other.safetensors", tensors, {})
    refused(
        store,
        run,
        {"init.weights": str(path)},
        r"other\.safetensors looks like a U-Net of 3 levels, and the recipe has",
    )
    whole = colours.read_bytes()
    colours.write_bytes(whole[: len(whole) // 2])
    refused(store, run, {"init.weights": str(colours)}, r"colours\.safetensors cannot be read as safetensors")


def test_a_native_file_says_which_subjects_it_has_seen(store, tmp_path):
    mine = filled(abstract(MODEL, channels=1))
    split = jaxssl.data.source.open_source(load_recipe("simclr:tiny", {"data.store": str(store)}).data).split
    path = native(mine, tmp_path / "leak.safetensors", [split.test[0]])
    refused(
        store,
        tmp_path / "run",
        {"init.weights": str(path)},
        r"1 test subjects were already seen by .*leak\.safetensors",
    )

    path = native(mine, tmp_path / "fine.safetensors", ["somebody else"])
    workdir = tmp_path / "run"
    console = Console(file=(tmp_path / "shown").open("w"), width=200)
    jaxssl.pretrain("simclr:tiny", workdir, {"data.store": str(store), **STILL, "init.weights": str(path)}, console)
    facts = json.loads((workdir / "run.json").read_text())
    assert "somebody else" in facts["subjects_seen"]
    assert facts["init_weights"]["subjects_seen"] == ["somebody else"]
    lines = json.loads((workdir / "weights.json").read_text())["tensors"]
    decoder = {line["why"] for line in lines if line["name"].startswith("decoder/")}
    assert decoder == {"a part that init.parts does not ask for, or this method has not"}
    state = read(workdir / "checkpoints", print).state["params"]["encoder"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, mine["encoder"]["params"])


@pytest.mark.parametrize("name", ["dino:tiny", "mae:tiny"])
def test_a_teacher_and_a_network_without_statistics_start_from_a_file_too(name, store, tmp_path):
    model = load_recipe(name).model
    mine = {"encoder": filled(abstract(model, channels=1))["encoder"]}
    path = native(mine, tmp_path / "w.safetensors")
    changes = {"data.store": str(store), "optim.lr": 1e-12, "train.steps": 1, "init.weights": str(path)}
    jaxssl.pretrain(name, tmp_path / "run", changes, Console(quiet=True))
    state = read(tmp_path / "run" / "checkpoints", print).state
    for holder in (state, state["carry"].get("teacher", state)):
        found = holder["params"]["encoder"]
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), found, mine["encoder"]["params"])
