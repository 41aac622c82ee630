"""Each stage of a sweep is done once, whoever is at it and however often it was stopped; the disk is its state."""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import sweeping
from jax.experimental.compilation_cache import compilation_cache
from sweeping import EVERYTHING, pretend

import jaxssl
from jaxssl import config
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.run import stages
from jaxssl.run.ablate import PointsFailed, time_left
from jaxssl.run.stages import Place
from jaxssl.sweep import in_order, load_study

SCRIPT = Path(sweeping.__file__)


def process(journal: Path, how: str, study: Path, root: Path) -> subprocess.Popen:
    command = [sys.executable, SCRIPT, journal, how, "ablate", study, "--workdir", root]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)


def test_a_sweep_says_the_same_every_time_and_in_every_process(study):
    def names() -> list[str]:
        return [stage.name for point in load_study(study).points({}) for stage in in_order(point.stages)]

    script = (
        "import sys; from jaxssl.sweep import in_order, load_study\n"
        "for p in load_study(sys.argv[1]).points({}): print(*(s.name for s in in_order(p.stages)), sep='\\n')"
    )
    elsewhere = subprocess.run([sys.executable, "-c", script, study], capture_output=True, text=True, check=True)
    assert names() == names() == elsewhere.stdout.split()
    points = load_study(study).points({})
    assert len({point.name for point in points}) == len(points) == 6
    assert len(set(names())) == 1 + 1 + 6
    # Whatever a stage says is in its name, and in those of the stages that need it.
    others = {stage.name for point in load_study(study).points({"lr": 1.0}) for stage in in_order(point.stages)}
    assert len(others & set(names())) == 1 + 3


def test_what_points_share_is_done_once_and_what_is_done_is_never_done_again(study, journal, tmp_path):
    root = tmp_path / "sweep"
    states = jaxssl.ablate(study, root)
    assert set(states.values()) == {"finished"}
    assert sweeping.verbs(journal) == EVERYTHING
    assert (root / "report.html").exists()
    jaxssl.ablate(study, root)
    assert sweeping.verbs(journal) == EVERYTHING
    (gone,) = (root / "runs").glob("mim-1-*")
    shutil.rmtree(gone)
    assert set(jaxssl.ablate(study, root, list=True).values()) == {"finished", "begun"}
    jaxssl.ablate(study, root)
    assert [name for _, name, *_ in sweeping.asked(journal)[8:]] == [gone.name]


def test_the_page_is_of_all_that_is_finished_and_a_part_says_how_to_have_it(study, journal, tmp_path, capsys):
    root = tmp_path / "sweep"
    first, *_, last = [point.name for point in load_study(study).points({})]
    jaxssl.ablate(study, root, [first])
    shown = (root / "report.html").read_text().count("finetune")
    jaxssl.ablate(study, root, [last])
    assert (root / "report.html").read_text().count("finetune") > shown
    capsys.readouterr()
    jaxssl.ablate(study, root, only="1/6")
    assert "--report makes it before" in capsys.readouterr().err


def test_a_folder_is_of_one_study(study, journal, tmp_path, capsys):
    jaxssl.ablate(study, tmp_path / "sweep", only="0/6")
    other = shutil.copy(study, tmp_path / "other.py")
    done = sweeping.verbs(journal)
    assert main(["ablate", str(other), "--workdir", str(tmp_path / "sweep")]) == 2
    assert f"is a folder of {Path(study).stem}; choose another --workdir for other." in " ".join(
        capsys.readouterr().err.split()
    )
    assert sweeping.verbs(journal) == done


def test_options_reach_the_recipe_and_the_verb(study, journal, tmp_path):
    root = tmp_path / "sweep"
    assert main(["ablate", str(study), "--workdir", str(root), "--scale", "small", "--lr", "0.5"]) == 0
    pretrained = {name: options for verb, name, options, _ in sweeping.asked(journal) if verb == "pretrain"}
    ((name, options),) = pretrained.items()
    recipe = config.load(root / "runs" / name / "recipe.json")
    assert (recipe.train.steps, recipe.optim.lr) == (20, 0.5)
    (tuned,) = (root / "runs").glob("mim-2-*")
    recipe = config.load(tuned / "recipe.json")
    assert (recipe.init.run, recipe.train.seed) == (str(root / "runs" / name), 2)
    assert Path(recipe.data.store) == Path(options["data.store"]) == next((root / "stores").iterdir())
    assert {o.get("on") for verb, _, o, _ in sweeping.asked(journal) if verb == "finetune"} == {"validation"}


def test_a_point_that_fails_is_reported_stops_no_other_and_is_tried_again(study, tmp_path, monkeypatch, capsys):
    root, journal = tmp_path / "sweep", tmp_path / "journal"
    pretend(monkeypatch, journal, broken="mim-1")
    assert main(["ablate", str(study), "--workdir", str(root)]) == 1
    said = capsys.readouterr().err
    assert "mim/1 failed: ValueError: mim-1 would not" in said
    assert str(root / "runs" / "mim-1-") in said
    assert "1 points failed (mim/1); the same command tries them again." in said
    states = jaxssl.ablate(study, root, list=True)
    assert {name for name, state in states.items() if state == "failed"} == {"mim/1"}
    (log,) = (root / "stages").glob("mim-1-*.log")
    assert "Traceback" in log.read_text()
    assert "ValueError" in capsys.readouterr().out
    pretend(monkeypatch, journal)
    assert main(["ablate", str(study), "--workdir", str(root)]) == 0
    assert len(sweeping.asked(journal)) == 8 + 1


def test_a_shared_stage_that_fails_is_tried_once_a_call(study, tmp_path, monkeypatch):
    root, journal = tmp_path / "sweep", tmp_path / "journal"
    pretend(monkeypatch, journal, broken="pretrain")
    for call in (1, 2):
        with pytest.raises(PointsFailed, match=r"3 points failed \(mim/0, mim/1, mim/2\)"):
            jaxssl.ablate(study, root)
        assert sweeping.verbs(journal) == {"phantom": 1, "pretrain": call, "finetune": 3}


def test_runs_share_what_they_compile_and_nobody_else_does(study, tmp_path, monkeypatch):
    root, journal = tmp_path / "sweep", tmp_path / "journal"
    settings = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in settings}
    pretend(monkeypatch, journal)
    doing = stages.DOINGS["pretrain"]

    def compiling(*asked):
        jax.jit(lambda x: jnp.cos(x) + 0.123)(jnp.arange(3.0)).block_until_ready()
        doing.call(*asked)

    monkeypatch.setitem(stages.DOINGS, "pretrain", doing._replace(call=compiling))
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jaxssl.ablate(study, root)
        assert list((root / "compiled" / platform.node()).iterdir())
        assert jax.config.values["jax_compilation_cache_dir"] is None
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def test_a_sweep_that_is_killed_goes_on_with_what_is_missing(study, tmp_path, monkeypatch):
    root, journal = tmp_path / "sweep", tmp_path / "journal"
    killed = process(journal, "killed", study, root)
    killed.communicate()
    assert killed.returncode == -9
    begun = sweeping.asked(journal)[-1][1]
    pretend(monkeypatch, journal)
    assert "begun" in jaxssl.ablate(study, root, list=True).values()
    jaxssl.ablate(study, root)
    names = [name for _, name, *_ in sweeping.asked(journal)]
    assert {name for name in names if names.count(name) > 1} == {begun}
    assert len(set(names)) == 8


def test_two_processes_at_once_share_the_work_and_do_each_stage_once(study, tmp_path):
    root, journal = tmp_path / "sweep", tmp_path / "journal"
    both = [process(journal, "2", study, root) for _ in range(2)]
    said = [each.communicate()[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert sweeping.verbs(journal) == EVERYTHING
    assert {process for *_, process in sweeping.asked(journal)} == {each.pid for each in both}
    assert all("6 of 6 points are finished" in each for each in said)
    assert (root / "report.html").exists()


def test_the_page_is_left_to_whoever_is_writing_it(study, journal, tmp_path):
    root = tmp_path / "sweep"
    with stages.holding(root, "report"):
        jaxssl.ablate(study, root)
        assert not (root / "report.html").exists()
    jaxssl.ablate(study, root)
    assert (root / "report.html").exists()


def test_a_recipe_that_has_changed_since_is_refused(study, journal, tmp_path, capsys):
    root = tmp_path / "sweep"
    jaxssl.ablate(study, root)
    (run,) = (root / "runs").glob("scratch-0-*")
    plain = json.loads((run / "recipe.json").read_text())
    plain["optim"]["lr"] = 0.25
    (run / "recipe.json").write_text(json.dumps(plain))
    with pytest.raises(PointsFailed, match="scratch/0"):
        jaxssl.ablate(study, root)
    assert "has changed since: optim.lr was 0.25 and is now 0.001" in capsys.readouterr().err
    assert sweeping.verbs(journal) == EVERYTHING


@pytest.mark.parametrize(("file", "sentence"), [("run.json", "scratch-0"), ("recipe.json", "cannot be read as JSON")])
def test_a_damaged_run_fails_its_own_point_and_stops_no_other(study, journal, tmp_path, file, sentence, capsys):
    """What its verb makes of a damaged run.json is the verb's to say; the one that pretends finds the folder there."""
    root = tmp_path / "sweep"
    jaxssl.ablate(study, root)
    (damaged,), (gone,) = (root / "runs").glob("scratch-0-*"), (root / "runs").glob("mim-1-*")
    (damaged / file).write_text("{")
    (damaged / "evaluation.json").write_text("{")
    (root / "stages" / f"{gone.name}.json").write_text("{")
    shutil.rmtree(gone)
    with pytest.raises(PointsFailed, match=r"1 points failed \(scratch/0\)"):
        jaxssl.ablate(study, root)
    assert sentence in capsys.readouterr().err
    states = jaxssl.ablate(study, root, list=True)
    assert {name for name, state in states.items() if state == "finished"} >= {"mim/1", "scratch/1"}


def test_a_sweep_of_stores_alone_ends_without_a_page(journal, tmp_path):
    study = tmp_path / "stores.py"
    study.write_text(
        "from jaxssl.sweep import Point, Stage\n"
        "def sweep(scale='smoke'):\n    return [Point('hearts', (Stage('phantom', 'cine'),))]\n"
    )
    assert jaxssl.ablate(study, tmp_path / "sweep") == {"hearts": "finished"}
    assert not (tmp_path / "sweep" / "report.html").exists()


def test_the_time_left_is_that_of_finished_stages_of_the_kind(study, tmp_path, journal):
    root = tmp_path / "sweep"
    jaxssl.ablate(study, root, points=("scratch/0", "scratch/1"))
    points = load_study(study).points({})
    places = [Place(root, stage) for stage in in_order(stage for point in points for stage in point.stages)]
    took = {"phantom": 500.0, "scratch-0": 10.0, "scratch-1": 30.0}
    for place in places:
        for name, seconds in took.items():
            if name in place.stage.name and place.done:
                config.write_json({**place.facts, "seconds": seconds}, place.note)
    # Four fine-tunings are missing, of which the two that are done took 20 s on average; nobody knows of pretraining.
    assert time_left(places) == (80.0, 1)
    slow = next(place for place in places if "scratch-1" in place.stage.name)
    config.write_json({**slow.facts, "tries": 2}, slow.note)
    assert time_left(places) == (40.0, 1)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"scale": "huge"}, "no scale 'huge' of this study; there are smoke, small"),
        ({"points": ["nim/*"]}, "No point is called 'nim/\\*'; the nearest of the 6 is 'mim/"),
        ({"only": "4/4"}, "--only 4/4 is no i/n"),
        ({"only": "one"}, "--only one is no i/n"),
        ({"colour": 1}, "takes scale, lr; got an unexpected keyword argument 'colour'"),
        ({"report": True}, "No run of these points is finished"),
        ({"submit": "slurm", "only": "0/2"}, "leave --only out"),
        ({"submit": "slurm", "jobs": 0}, "--jobs is"),
        ({"submit": "slurm", "slurm": ("time",)}, "--slurm time is no NAME=VALUE"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(asked, sentence, study, journal, tmp_path):
    with pytest.raises(UserError, match=sentence):
        jaxssl.ablate(study, tmp_path / "sweep", **asked)
    assert not (tmp_path / "sweep").exists()
    assert not journal.exists()


@pytest.mark.parametrize("content", [None, "def sweep(:", "import nothing_like_this", "sweep = 3"])
def test_what_is_no_study_is_named(content, tmp_path, capsys):
    study = tmp_path / "study.py"
    if content is not None:
        study.write_text(content)
    assert main(["ablate", str(study), "--workdir", str(tmp_path / "sweep")]) == 2
    assert "study.py" in capsys.readouterr().err


def test_it_asks_for_a_study(capsys):
    assert main(["ablate"]) == 2
    assert main(["ablate", "--help"]) == 0
    said = capsys.readouterr()
    assert "needs a study" in said.err
    assert said.out.count("usage: jaxssl ablate STUDY") == 2
