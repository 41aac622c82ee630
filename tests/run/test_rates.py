"""Equal time, by what finished trainings say of their own."""

import json
import os
from pathlib import Path

import jax
import pytest

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.run.rates import steps_in_time

CHIP = {"device": "some chip", "devices": 1, "jax": "9.8"}
HERE = {"device": f"cpu ({os.cpu_count()} cores)", "devices": jax.device_count(), "jax": jax.__version__}


def trained(folder: Path, step_seconds: float, machine, **options) -> str:
    """A folder as a pretraining of four steps leaves it."""
    folder.mkdir()
    recipe = load_recipe("simclr:tiny", options)
    config.save(recipe, folder / "recipe.json")
    config.write_json({"status": "finished", **machine}, folder / "run.json")
    speed = recipe.train.batch / step_seconds
    # The first entry compiles; one was disturbed.
    lines = [{"step": step, "images_per_second": v} for step, v in enumerate((0.1, speed, speed, speed / 9), 1)]
    (folder / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


@pytest.mark.parametrize(("seconds", "steps"), [(1.0, 4), (0.4, 10), (2.9, 1), (20.0, 1)])
def test_steps_take_as_long_as_all_of_the_reference(seconds, steps, tmp_path):
    run, reference = trained(tmp_path / "run", seconds, HERE), trained(tmp_path / "reference", 1.0, HERE)
    assert steps_in_time(run, reference) == steps
    assert steps_in_time(reference, reference) == 4


@pytest.mark.parametrize("other", [{"device": "some gpu"}, {"devices": 2}, {"jax": "9.9"}])
def test_times_on_different_hardware_are_refused(other, tmp_path):
    run, reference = trained(tmp_path / "run", 1.0, CHIP), trained(tmp_path / "reference", 1.0, {**CHIP, **other})
    with pytest.raises(UserError, match=r"run ran on 1 x some chip with jax 9\.8 and .*reference on "):
        steps_in_time(run, reference)


def test_a_log_that_tells_no_time_is_refused(tmp_path):
    run, reference = (trained(tmp_path / name, 1.0, CHIP) for name in ("run", "reference"))
    (tmp_path / "reference" / "timing.jsonl").write_text('{"step": 4, "images_per_second": 10.0}\n')
    with pytest.raises(UserError, match=r"The log of .*reference is too short"):
        steps_in_time(run, reference)


def test_what_was_trained_elsewhere_counts_no_steps_here(tmp_path):
    run, reference = (trained(tmp_path / name, 1.0, CHIP) for name in ("run", "reference"))
    here = "{devices} x {device} with jax {jax}".format_map(HERE)
    with pytest.raises(UserError) as refused:
        steps_in_time(run, reference)
    assert f"ran on 1 x some chip with jax 9.8, and this is {here}, where" in str(refused.value)


def test_here_are_as_many_devices_as_the_training_asks_for(tmp_path):
    machine, options = {**HERE, "devices": 7}, {"train.devices": 7, "train.batch": 14}
    run, reference = (trained(tmp_path / name, 1.0, machine, **options) for name in ("run", "reference"))
    assert steps_in_time(run, reference) == 4
