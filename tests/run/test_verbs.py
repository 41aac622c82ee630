"""The verbs one after the other, as a user types them, on the smallest data."""

import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl.cli import main
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.recipe import names
from jaxssl.run import assembly
from jaxssl.train.checkpoint import read
from jaxssl.train.monitors import Bar
from jaxssl.train.step import pure_step


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    """A pretrained run, and segmentation with and without it."""
    folder = tmp_path_factory.mktemp("runs")
    data = {"data.store": str(store)}
    jaxssl.pretrain("mim:tiny", folder / "mim", data)
    jaxssl.finetune("segment:tiny", folder / "scratch", data)
    jaxssl.finetune("segment:tiny", folder / "from-mim", {**data, "init.run": str(folder / "mim")})
    return folder


def test_fine_tuning_starts_from_what_was_pretrained(runs, store, tmp_path):
    """With a learning rate too small to move anything, encoder and decoder are still those of the pretrained run."""
    still = {"data.store": str(store), "init.run": str(runs / "mim"), "optim.lr": 1e-12, "train.steps": 1}
    jaxssl.finetune("segment:tiny", tmp_path / "still", still)
    taken, source = (read(path / "checkpoints", print).state["params"] for path in (tmp_path / "still", runs / "mim"))
    for part in ("encoder", "decoder"):
        for (_, a), (_, b) in zip(leaves(taken[part]), leaves(source[part]), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


def leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def test_an_average_of_the_weights_is_what_is_handed_on(store, tmp_path):
    from jaxssl.run.common import load_run
    from jaxssl.workdir import existing

    data = {"data.store": str(store), "train.average": 0.9}
    jaxssl.pretrain("mim:tiny", tmp_path / "averaged", data)
    state = read(tmp_path / "averaged" / "checkpoints", print).state
    parts = load_run(existing(tmp_path / "averaged"), print).parts
    still = {**data, "init.run": str(tmp_path / "averaged"), "optim.lr": 1e-12, "train.steps": 1}
    jaxssl.finetune("segment:tiny", tmp_path / "still", still)
    taken = read(tmp_path / "still" / "checkpoints", print).state
    for part in ("encoder", "decoder"):
        averaged = leaves(state["average"]["params"][part])
        assert (
            max(np.abs(a - p).max() for (_, a), (_, p) in zip(averaged, leaves(state["params"][part]), strict=True)) > 0
        )
        for found in (parts[part]["params"], taken["params"][part], taken["average"]["params"][part]):
            for (_, a), (_, b) in zip(leaves(found), averaged, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-9)
        for (_, a), (_, b) in zip(
            leaves(parts[part]["statistics"]), leaves(state["average"]["statistics"][part]), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_several_steps_a_dispatch_change_nothing(store, tmp_path):
    def run(count: int):
        every = {"train.log_every": count, "train.checkpoint_every": count, "train.steps_per_dispatch": count}
        flags = {"data.store": str(store), "train.steps": 5, "optim.name": "sgd", "optim.lr": 0.01, **every}
        jaxssl.pretrain("mim:tiny", tmp_path / str(count), flags)
        lines = (tmp_path / str(count) / "metrics.jsonl").read_text().splitlines()
        return read(tmp_path / str(count) / "checkpoints", print).state, [json.loads(line) for line in lines]

    (state, lines), (in_pairs, fewer) = run(1), run(2)
    assert [line["step"] for line in fewer] == [2, 4, 5]
    for line in fewer:
        same = lines[line["step"] - 1]
        np.testing.assert_allclose([line[name] for name in same], list(same.values()), rtol=1e-5)
    jax.tree.map(assert_rounded_alike, state, in_pairs)


def assert_rounded_alike(a, b):
    """Arrays that two programs have made: they round what is summed, and not by what is left of it."""
    apart, size = (np.linalg.norm(np.asarray(x, np.float64)) for x in (np.asarray(a) - np.asarray(b), a))
    assert apart <= 1e-5 * size + 1e-6, (apart, size)


def test_a_step_is_traced_once(store, tmp_path, monkeypatch):
    traced = []

    def counted(*given):
        step = pure_step(*given)
        return lambda *shapes: traced.append(shapes) or step(*shapes)

    with monkeypatch.context() as patch:
        patch.setattr(assembly, "pure_step", counted)
        jaxssl.pretrain("mim:tiny", tmp_path / "run", {"data.store": str(store)})
    assert len(traced) == 1


def test_a_batch_smaller_than_what_is_shown_will_do(store, tmp_path):
    jaxssl.pretrain("mim:tiny", tmp_path / "run", {"data.store": str(store), "train.batch": 4, "model.norm.group": 4})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    with np.load(tmp_path / "run" / "pictures.npz", allow_pickle=False) as pictures:
        assert {len(images) for images in pictures.values()} == {4}


def test_the_evaluation_scores_every_test_subject_at_both_moments(runs):
    result = json.loads((runs / "scratch" / "evaluation.json").read_text())
    scored = {(row["subject"], row["moment"]) for row in result["subjects"]}
    assert {moment for _, moment in scored} == {"ED", "ES"}
    assert len(scored) == 2 * result["n"] == len(result["subjects"])
    values = np.array([row["dice"] for row in result["subjects"]])
    assert ((values >= 0) & (values <= 1)).all()
    assert result["mean_dice"] == pytest.approx(values.mean())
    assert "synthetic" in result["data"]


def test_a_finished_run_is_left_as_it_is(runs, store):
    before = (runs / "mim" / "metrics.jsonl").stat().st_mtime_ns
    jaxssl.pretrain("mim:tiny", runs / "mim", {"data.store": str(store)})
    assert (runs / "mim" / "metrics.jsonl").stat().st_mtime_ns == before


def test_another_recipe_in_the_same_folder_is_refused(runs, store):
    with pytest.raises(UserError, match=r"belongs to another recipe: optim\.lr was 0\.001"):
        jaxssl.pretrain("mim:tiny", runs / "mim", {"data.store": str(store), "optim.lr": 0.5})
    with pytest.raises(UserError, match="belongs to another recipe: name was 'mim:tiny' and is now 'simclr:tiny', and"):
        jaxssl.pretrain("simclr:tiny", runs / "mim", {"data.store": str(store)})


def test_how_a_run_is_carried_out_may_change_when_it_continues(runs, store, tmp_path, monkeypatch):
    def interrupted(bar, tick):
        if tick.step == 3:
            raise KeyboardInterrupt

    options, workdir = {"data.store": str(store)}, tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Bar, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jaxssl.pretrain("mim:tiny", workdir, options)
    carried_out = {"data.resident": True, "train.steps_per_dispatch": 2, "train.log_every": 2, "train.keep": 1}
    jaxssl.pretrain("mim:tiny", workdir, options | carried_out)

    assert [path.name for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()] == ["4"]
    assert json.loads((workdir / "recipe.json").read_text())["data"]["resident"] is True
    states = [read(path / "checkpoints", print).state["params"] for path in (workdir, runs / "mim")]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *states)


def test_a_run_goes_on_though_what_it_began_with_is_gone_and_its_way_stays(runs, store, tmp_path, monkeypatch):
    def interrupted(bar, tick):
        if tick.step == 3:
            raise KeyboardInterrupt

    def told(workdir):
        facts = json.loads((workdir / "run.json").read_text())
        return {name: facts[name] for name in ("init", "init_parts", "origin", "way", "subjects_seen")}

    shutil.copytree(runs / "mim", tmp_path / "mim")
    options = {"data.store": str(store), "init.run": str(tmp_path / "mim"), "train.checkpoint_every": 1}
    with monkeypatch.context() as patch:
        patch.setattr(Bar, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jaxssl.finetune("segment:tiny", tmp_path / "run", options)
    before, seen = told(tmp_path / "run"), (tmp_path / "run" / "seen.json").read_text()
    shutil.rmtree(tmp_path / "mim")
    (tmp_path / "run" / "seen.json").unlink()
    with pytest.raises(UserError, match="nobody knows which subjects the run has seen"):
        jaxssl.finetune("segment:tiny", tmp_path / "run", options)
    (tmp_path / "run" / "seen.json").write_text(seen)
    jaxssl.finetune("segment:tiny", tmp_path / "run", options)
    assert told(tmp_path / "run") == before


def test_of_a_run_that_is_not_finished_it_is_said_what_is_taken_over(runs, store, tmp_path, capsys):
    unfinished = shutil.copytree(runs / "mim", tmp_path / "mim") / "run.json"
    unfinished.write_text(json.dumps({**json.loads(unfinished.read_text()), "status": "stopped"}))
    given = {"data.store": str(store), "init.run": str(unfinished.parent), "init.parts": ("encodr",)}
    with pytest.raises(UserError, match="asks for encodr"):
        jaxssl.finetune("segment:tiny", tmp_path / "run", given)
    said = "".join(capsys.readouterr().err.split())
    assert "mim is not finished: what is taken over is how it stood at step 4.".replace(" ", "") in said


def test_parts_that_are_not_there_are_refused_by_name(runs, store, tmp_path):
    start = {"data.store": str(store), "init.run": str(runs / "mim")}
    with pytest.raises(UserError, match=r"asks for encodr, but .* has decoder, encoder, head"):
        jaxssl.finetune("segment:tiny", tmp_path / "a", {**start, "init.parts": ("encodr",)})
    with pytest.raises(UserError, match="Part 'encoder' does not fit this model"):
        jaxssl.finetune("segment:tiny", tmp_path / "a", {**start, "model.widths": (4, 16)})
    with pytest.raises(UserError, match="has a UNet and mae:tiny a ViT; choose a recipe with that network"):
        jaxssl.pretrain("mae:tiny", tmp_path / "a", start)
    assert not (tmp_path / "a").exists()


def test_a_run_is_not_continued_on_other_data(store, tmp_path):
    own = tmp_path / "store"
    shutil.copytree(store, own)
    words = {"data.store": str(own)}
    jaxssl.pretrain("mim:tiny", tmp_path / "run", words)
    shutil.rmtree(own)
    jaxssl.data_phantom(own, jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=4))
    with pytest.raises(UserError, match="has changed since"):
        jaxssl.pretrain("mim:tiny", tmp_path / "run", words)


def test_a_run_of_steps_that_are_not_finite_does_not_end_as_finished(store, tmp_path):
    with pytest.raises(UserError, match="Of 4 steps 3"):
        jaxssl.pretrain("mim:tiny", tmp_path / "run", {"data.store": str(store), "optim.lr": 1e30})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    written = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] is None for line in written] == [False, True, True, True]


def test_test_subjects_that_were_pretrained_on_are_refused(runs, store, tmp_path):
    leaky = {"data.store": str(store), "init.run": str(runs / "mim"), "data.split_seed": 1}
    with pytest.raises(UserError, match=r"already seen by .*mim"):
        jaxssl.finetune("segment:tiny", tmp_path / "leaky", leaky)


def test_probe_embed_and_report(runs, tmp_path, capsys):
    assert main(["probe", str(runs / "mim"), "--target", "group", "--k", "5"]) == 0
    result = json.loads((runs / "mim" / "probe.json").read_text())
    assert result["target"] == "group"
    assert 0 <= result["knn"]["accuracy"] <= 1
    assert main(["embed", str(runs / "mim"), "--out", str(tmp_path / "all.npz")]) == 0
    with np.load(tmp_path / "all.npz", allow_pickle=False) as arrays:
        assert arrays["embedding"].shape == (len(arrays["id"]), 8)
        assert np.isfinite(arrays["embedding"]).all()
        assert arrays["embedding"].std(0).max() > 0
    page = tmp_path / "page.html"
    assert main(["report", *map(str, sorted(runs.iterdir())), "--out", str(page)]) == 0
    text = page.read_text()
    assert all(name in text for name in ("mim", "scratch", "from-mim"))
    assert "against scratch" in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "size", "classes"), [("ultrasound", "--scans", 8), ("knee", "--slices", 6)])
def test_other_phantoms_are_made_and_described(verb, size, classes, tmp_path, capsys):
    out = tmp_path / "store"
    assert main(["data", verb, "--out", str(out), "--subjects", "1", size, "2", "--seed", "5"]) == 0
    assert main(["data", "info", str(out)]) == 0
    info = open_store(out).info
    assert (info.name, info.subjects, info.synthetic) == (f"{verb}_phantom", 1, True)
    assert len(info.classes) == classes
    assert info.classes[-1] in capsys.readouterr().out


def test_recipes_are_found_by_name():
    assert {"simclr", "mim", "segment"} <= set(names())
