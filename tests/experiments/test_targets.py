"""The table of targets: its benchmarks are ones that the terminal takes, and its figures are those of their lines."""

import functools
import importlib.util
import json
from pathlib import Path

import pytest

from jaxssl import config, run
from jaxssl.cli import main

SCRIPT = Path(__file__).parents[2] / "experiments" / "targets.py"
OURS = {"jaxssl": {"cpu": 2.0, "wall": 0.004, "memory": 80e6}}
PEERS = ("torch", "torch DataLoader, 2 workers", "kornia")
LINE = {
    "sides": {
        **OURS,
        **{peer: {"cpu_ratio": 5.0, "wall_ratio": 12.0, "memory_ratio": 0.5} for peer in PEERS},
        "torch, as lightly": {"cpu_ratio": 7.0},
        "torch.compile": {"wall_ratio": 1.25},
    },
    "against_float64": {"jaxssl": 1e-6},
    "compile_seconds": 9.0,
    "cached_compile_seconds": 2.5,
    "mfu": 0.5,
    "images_per_second": 8000.0,
    "fed_of_fixed": 0.97,
    "share": 0.011,
}
FILES = {"loss": "loss", "loader": "loading", "augment": "augment", "checkpoint": "checkpoint"}


@pytest.fixture
def targets():
    spec = importlib.util.spec_from_file_location("targets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def asked(targets, monkeypatch):
    """What is asked of each benchmark, which here writes a line that was made up."""
    seen = []

    def pretend(verb):
        @functools.wraps(getattr(run, f"bench_{verb}"))
        def bench(*given, **more):
            recipe = given[0] if verb == "step" else None
            if recipe:
                config.check(recipe)
            out = given[1] if recipe else more["out"]
            against = more["against"].against if "against" in more else None
            seen.append((out.name, against))
            file = FILES.get(verb, "against" if against else "step")
            out.mkdir(parents=True)
            (out / f"{file}.jsonl").write_text(json.dumps(LINE))

        return bench

    for verb in ("step", *FILES):
        monkeypatch.setattr(run, f"bench_{verb}", pretend(verb))
    monkeypatch.setattr(run, "data_phantom", lambda out, options: out.mkdir(parents=True))
    monkeypatch.setattr(targets, "jaxssl", lambda *words: main(words) and pytest.fail(" ".join(words)))
    return seen


def test_every_benchmark_is_asked_once_and_its_figures_are_told(targets, asked, tmp_path, capsys):
    targets.main(tmp_path / "bench", python=Path("python"))
    assert asked == [(name, each.against) for name, each in targets.ON_CPU.items()]
    before = len(asked)
    targets.main(tmp_path / "bench", python=Path("python"))
    assert len(asked) == before, "a line that is there is taken as it is"
    table = (tmp_path / "bench" / "targets.md").read_text()
    assert table in capsys.readouterr().out
    rows = table.splitlines()[2:]
    assert len(rows) == len(targets.OF_CPU)
    for wanted in (
        "| contrastive loss, 8,192 pairs: plain torch takes, times | >= 4.5 | 5 | met |",
        "| the same: as lightly computes it | >= 7.5 | 7 | **missed** |",
        "| loss of 32,768 pairs: MB above idle | <= 100 | 80 | met |",
        "| step of MAE, ViT-S/8, 128 px: CPU time in torch eager's | <= 1.0 | 0.2 | met |",
        "| step of MAE, ViT-S/8, 128 px: memory above idle in torch's | <= 1.2 | 2 | **missed** |",
        "| step of SimCLR, ResNet-18, 128 px: CPU time in torch eager's | as near as XLA allows | 0.2 | reported |",
        "| loading, 80 px: a DataLoader of 2 workers takes, times | >= 10 | 12 | met |",
        "| views, 80 px: a DataLoader of 2 workers takes, times | >= 2 | 5 | met |",
        "| views, 80 px: kornia takes, times | >= 5 | 5 | met |",
        "| mim:small, step traced and compiled from a cache: seconds | <= 2 | 2.5 | **missed** |",
    ):
        assert wanted in rows


def test_an_accelerator_has_a_table_of_its_own(targets, asked, tmp_path):
    targets.main(tmp_path / "bench", python=Path("python"), chip="h200")
    assert asked == [(name, each.against) for name, each in targets.ON_H200.items()]
    rows = (tmp_path / "bench" / "targets.md").read_text().splitlines()[2:]
    assert len(rows) == len(targets.OF_H200)
    for wanted in (
        "| SimCLR, ViT-S/16, 224 px: MFU | >= 0.45 | 0.5 | met |",
        "| the same: torch.compile takes, times | >= 1.3 | 1.25 | **missed** |",
        "| loss of 65,536 rows: ms | <= 5 | 4 | met |",
        "| study B's pretraining by simclr: minutes | <= 20 | 18.9 | met |",
        "| mim:small fed by a store, of a batch that is there | >= .95 on a CPU, .97 on a GPU | 0.97 | met |",
    ):
        assert wanted in rows


def test_one_that_fails_is_named_and_stops_no_other(targets, tmp_path, monkeypatch):
    def other_than_the_loss(*words):
        if words[:2] == ("bench", "step"):
            (tmp_path / words[1 + words.index("--out")]).mkdir()
            (tmp_path / words[1 + words.index("--out")] / "step.jsonl").write_text(json.dumps(LINE))

    monkeypatch.setattr(targets, "jaxssl", other_than_the_loss)
    with pytest.raises(SystemExit, match=r"missing in the table: loss\.$"):
        targets.main(tmp_path, only=("loss", "fed"))
    assert "of a batch that is there" in (tmp_path / "targets.md").read_text()


@pytest.mark.usefixtures("asked")
def test_without_torch_and_of_some_there_are_the_rows_that_can_be_told(targets, tmp_path, monkeypatch):
    alone = {**LINE, "sides": OURS}
    monkeypatch.setitem(globals(), "LINE", alone)
    targets.main(tmp_path, only=("loss", "fed"))
    rows = (tmp_path / "targets.md").read_text().splitlines()[2:]
    assert [row.split(" | ")[2].strip(" |") for row in rows] == [*["was not there"] * 3, "0.97"]
