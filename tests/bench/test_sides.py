"""Sides are asked by turns, on the same cores, and not timed unless they do the same; without torch."""

import json
import os
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from jaxssl import config
from jaxssl.bench import compare
from jaxssl.bench.batch import fixed_batch
from jaxssl.bench.loss import reference_gradient
from jaxssl.bench.sides import OURS, PEERS, Against, Side, Turn, by_turns, check_torch, on_cores, ours, running
from jaxssl.bench.views import COUNTS, views_of
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.methods.base import build
from jaxssl.recipe import load_recipe
from jaxssl.run import comparing, contrasting
from jaxssl.run.augmenting import bench_augment
from jaxssl.run.comparing import compared
from jaxssl.run.contrasting import bench_loss
from jaxssl.run.saving import bench_checkpoint
from jaxssl.run.terminal import console_of
from jaxssl.train.step import Schedule

FAKE = str(Path(__file__).parent / "fake_peer.py")


def fake(name, **options):
    return Side(name, (sys.executable, FAKE), options)


def test_a_side_answers_through_what_libraries_print_and_tells_its_memory(tmp_path):
    with running([fake(OURS, bytes=64_000_000)], 1) as sides:
        side = sides[OURS]
        assert side.facts == {"platform": "cpu", "threads": 1}
        assert side.check(tmp_path) == tmp_path.name
        turn = side.turn(3)
        assert 0 < turn.cpu <= turn.wall * 1.5
        assert 64e6 < turn.memory < 80e6
        assert side.turn(1).memory > 128e6
    assert side.popen.returncode == 0


def test_what_cannot_be_compared_is_said_in_a_sentence():
    unable = pytest.raises(UserError, match="other cannot be compared: it has no hands")
    with unable, running([fake("other", unable=1)], None):
        pass


@pytest.mark.parametrize(
    ("threads", "check", "said"),
    [(2, None, "threads of jaxssl: 1, of torch: 2"), (1, "the loss differs", "so none is timed: the loss differs")],
)
def test_sides_that_differ_are_not_timed(threads, check, said):
    sides = [fake(OURS), fake("torch", threads=threads)]
    with pytest.raises(UserError, match=said):
        compared(sides, lambda processes: check, None, 1, 0.01, Console(quiet=True))


def test_sides_that_agree_are_timed_by_turns():
    record = compared([fake(OURS), fake("torch")], lambda processes: None, 1, 2, 0.01, Console(quiet=True))
    assert list(record["sides"]) == [OURS, "torch"]
    assert record["sides"]["torch"]["turns"] == 2


def test_turns_go_by_turns_and_last_as_long_as_they_should():
    asked = []

    def of_speed(name, seconds):
        def timed(count):
            asked.append((name, count))
            return Turn(seconds, seconds)

        return timed

    sides = {OURS: of_speed("a", 0.001), "torch": of_speed("b", 0.004)}
    measured = list(by_turns(sides, 2, 0.5))
    assert asked == [("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 500), ("b", 125), ("a", 500), ("b", 125)]
    assert [(name, number) for name, number, _ in measured] == [(OURS, 0), ("torch", 0), (OURS, 1), ("torch", 1)]


def test_ratios_are_medians_within_rounds():
    turns = {OURS: [1, 2, 10], "torch": [3, 8, 10]}
    measured = [(name, n, Turn(x, 2 * x, 5 * x)) for name, own in turns.items() for n, x in enumerate(own)]
    found = compare.summed_up(measured, work=2)
    assert found["torch"]["wall_ratio"] == 3
    assert (found["torch"]["wall"], found["torch"]["cpu_least"], found["torch"]["memory_ratio"]) == (4, 3, 1)


def test_results_are_held_against_the_largest():
    ours = np.array([1.0, -100.0])
    assert compare.unlike("it", ours, ours + 0.01, 1e-3) is None
    assert "it differs by 1 where" in compare.unlike("it", ours, ours + np.array([0, 1]), 1e-3)
    assert "it is (3,) there" in compare.unlike("it", ours, np.zeros(3), 1e-3)


def test_cores_are_given_back_and_more_than_there_are_is_refused():
    before = os.sched_getaffinity(0)
    with on_cores(1):
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before
    with pytest.raises(UserError, match="--threads must be from 1"), on_cores(0):
        pass


def test_an_interpreter_without_torch_is_refused_and_an_installation_without_peers(tmp_path, monkeypatch):
    # The peers are there in a checkout alone, and these tests also in the source distribution.
    monkeypatch.setattr("jaxssl.bench.sides.PEERS", tmp_path)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(UserError, match="has no torch to compare with"):
        check_torch(str(python))
    with pytest.raises(UserError, match="cannot be run"):
        check_torch(str(tmp_path / "nowhere"))
    monkeypatch.setattr("jaxssl.bench.sides.PEERS", tmp_path / "nowhere")
    with pytest.raises(UserError, match="belong to a checkout of jaxssl"):
        check_torch(str(python))


def test_no_peer_imports_jax_and_none_of_jaxssl_but_the_protocol():
    for path in PEERS.glob("*.py"):
        lines = [line for line in path.read_text().splitlines() if "import" in line and "jax" in line]
        assert all(line.startswith("from jaxssl.bench.serve import") for line in lines), path


def test_the_gradient_in_float64_is_that_of_the_equation():
    rows = np.random.default_rng(0).normal(size=(12, 5))

    def loss(z):
        unit = z / jnp.linalg.norm(z, axis=1, keepdims=True)
        logits = jnp.where(jnp.eye(12, dtype=bool), -jnp.inf, unit @ unit.T / 0.3)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(12), (jnp.arange(12) + 6) % 12])

    with jax.enable_x64(True):
        wanted = jax.grad(loss)(jnp.asarray(rows))
    np.testing.assert_allclose(reference_gradient(rows, 0.3, slice(2, 7)), wanted[2:7], rtol=1e-10)


def test_the_loss_alone_is_held_against_float64_and_told(tmp_path, capsys):
    record = bench_loss(rows=64, dim=8, out=tmp_path, rounds=2, seconds=0.01)
    assert json.loads((tmp_path / "loss.jsonl").read_text()) == record
    assert record["against_float64"][OURS] < 1e-5
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "Contrastive loss and gradient of 64 rows" in capsys.readouterr().err


@pytest.mark.parametrize("bench", ["loss", "augment", "loader", "step"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_timed(bench, tmp_path, capsys):
    (tmp_path / "file").touch()
    recipe = [] if bench == "loss" else ["simclr:tiny"]
    assert main(["bench", bench, *recipe, "--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written; choose another --out." in capsys.readouterr().err


def test_a_loss_that_does_not_fit_into_the_container_is_left_out(tmp_path, monkeypatch, capsys):
    needed = contrasting.HELD * 4 * 1024**2
    for free, sides in ((needed, 3), (needed - 1, 1)):
        monkeypatch.setattr(contrasting, "available", lambda free=free: free)
        asked = Against("torch", "python")
        assert len(contrasting._sides(tmp_path, 1024, 0.1, asked, console_of(None))) == sides
    assert "torch is left out" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*COUNTS, "dino"])
def test_views_are_counted_as_the_method_makes_them(name):
    recipe = load_recipe(f"{name}:tiny")
    method = build(recipe.method, recipe.model, recipe.spec(classes=4, labels=4))

    def views(batch):
        return method.views(jax.random.split(jax.random.key(0), 1), batch, Schedule(2, 2).progress(jnp.int32(0)))

    made = jax.eval_shape(views, fixed_batch(recipe.data, 1, 1, 4))
    if isinstance(made, dict):
        made = [made[name] for name in ("image", "global", "local") if name in made]
    images = sum(np.prod(x.shape) for x in jax.tree.leaves(made))
    sizes = [(view["size"] or recipe.data.layout.size, view["count"]) for view in views_of(recipe.method)]
    assert images == sum(np.prod(size) * count for size, count in sizes)


def test_a_view_takes_its_share_of_a_turn(tmp_path, monkeypatch):
    """Two of each of eight samples: a sixteenth."""
    turn = Turn(wall=32.0, cpu=16.0)
    monkeypatch.setattr(comparing, "by_turns", lambda timed, *_: [(name, 0, turn) for name in timed])
    record = bench_augment("simclr:tiny", tmp_path, batch=8)
    assert (record["views"], record["batch"]) == (2, 8)
    assert (record["sides"][OURS]["wall"], record["sides"][OURS]["cpu"]) == (2, 1)


def test_our_side_of_a_step_trains_on_the_views_that_lie_there(tmp_path):
    """Both sides read them from the folder, after memory has been taken at rest."""
    config.save(load_recipe("segment:tiny"), tmp_path / "recipe.json")
    with running([ours("jaxssl.run.sides", {"side": "step", "recipe": str(tmp_path / "recipe.json")})], 1) as sides:
        before = sides[OURS].check(tmp_path)
        with np.load(tmp_path / "views.npz") as views:
            np.savez(tmp_path / "views.npz", **{name: view[::-1] * (name == "mask") for name, view in views.items()})
        assert sides[OURS].check(tmp_path) != before


def test_checkpoints_are_counted_in_bytes_and_in_shares(tmp_path, capsys):
    found = bench_checkpoint("mim:tiny", tmp_path, rounds=2, seconds=0.01)
    assert [one["bytes"] > 1000 for one in found["saves"]] == [True, True]
    assert all(0 < one["stall"] < one["durable"] for one in found["saves"])
    wanted = found["stall"] / (found["step_seconds"] * found["checkpoint_every"])
    assert found["shares"]["checkpoint"] == pytest.approx(wanted)
    assert found["share"] == pytest.approx(sum(found["shares"].values()))
    assert not list(tmp_path.glob("tmp*"))
    assert "training stands still" in capsys.readouterr().err


def test_the_command_refuses_an_odd_number_of_rows(capsys):
    assert main(["bench", "loss", "--rows", "5"]) == 2
    assert "--rows must be an even number" in capsys.readouterr().err
