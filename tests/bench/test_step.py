"""The beginnings of a step are those of the step, the work counted is the model's, and shares are of the time."""

import json
from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.bench import program, step
from jaxssl.bench.chips import CHIPS, chip_of
from jaxssl.bench.products import flops
from jaxssl.bench.step import FED, REST, STEP, STILL, Turn
from jaxssl.cli import main
from jaxssl.data.phantom import CineOptions
from jaxssl.data.source import open_source
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.run import bench_step
from jaxssl.run.data import data_phantom
from jaxssl.run.feed import Feed
from jaxssl.run.workbench import Workbench
from jaxssl.train.mesh import make_mesh
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule


@pytest.fixture(scope="module")
def begun():
    """Masked images on the smallest U-Net: programs, state and batch."""
    case = cases.quick("mim")
    method, batch, optimiser = cases.method_of(case), cases.batch_of(case, 16), optax.sgd(0.1)
    mesh, schedule = make_mesh(jax.devices()[:1]), Schedule(10, 5)
    views = jax.jit(method.views)(jax.random.split(jax.random.key(0), 16), batch, schedule.progress(jnp.int32(0)))
    abstract = abstract_state(method, optimiser, 3, views, mesh)
    state = create_state(method, optimiser, 3, views, abstract)

    def programs(micro_batches: int = 1):
        plan = replace(schedule, micro_batches=micro_batches)
        return step.programs(method, optimiser, lambda step: 0.1, plan, mesh)

    return programs, state, jax.tree.map(jnp.asarray, batch)


def test_every_program_does_what_the_step_begins_with(begun):
    programs, state, batch = begun
    found = {name: jax.jit(each)(state, batch) for name, each in programs().items()}
    _, log = found[STEP]
    np.testing.assert_allclose(found["loss"], log["loss"], rtol=1e-6)
    loss, gradient = found["gradient"]
    np.testing.assert_allclose(loss, log["loss"], rtol=1e-6)
    np.testing.assert_allclose(optax.tree.norm(gradient), log["gradient_norm"], rtol=1e-5)
    _, (updates, _) = found["update"]
    jax.tree.map(lambda g, u: np.testing.assert_allclose(u, -0.1 * g, rtol=1e-6), gradient, updates)


def test_the_work_is_that_of_network_and_loss_as_the_compiled_program_has_it(begun):
    programs, state, batch = begun
    compiled = {name: program.flops(step.compiled(each, state, batch, False)) for name, each in programs().items()}
    counted = flops(step.model_products(programs(), state, batch))
    # One channel comes out, so that the gradient of what its kernel was given is a column by a row: no sums, no dot.
    column_by_row = 2 * batch["image"].size * 4
    assert counted - column_by_row == compiled["gradient"] - compiled["views"] > 0


def test_micro_batches_take_their_forward_pass_twice_which_is_no_work_of_the_model(begun):
    programs, state, batch = begun
    once, twice = (flops(step.model_products(programs(count), state, batch)) for count in (1, 2))
    assert twice > 1.2 * once


def test_shares_are_of_the_step_and_what_noise_has_swallowed_is_none():
    def turns(*wall):
        return [Turn(each, each) for each in wall]

    found = {"views": turns(1, 2), "loss": turns(3, 6), "gradient": turns(2.5, 5), "update": turns(3.5, 7)}
    wanted = {"augmentation": 0.1, "forward": 0.2, "backward": 0.0, "optimiser": 0.1, REST: 0.6}
    assert step.shares({**found, STEP: turns(10, 20)}) == pytest.approx(wanted)
    slow = {**found, "gradient": turns(8, 16), "update": turns(9, 18), STEP: turns(8, 16)}
    wanted = {"augmentation": 1 / 9, "forward": 2 / 9, "backward": 5 / 9, "optimiser": 1 / 9, REST: 0.0}
    assert step.shares(slow) == pytest.approx(wanted)


def test_a_step_goes_on_with_the_state_it_made_and_its_beginnings_with_the_one_they_had(begun):
    programs, state, batch = begun
    calls = {name: step.call_of(name, jax.jit(each), batch) for name, each in programs().items()}
    seen = []

    def noted(call):
        def one(state):
            seen.append(int(state.step))
            return call(state)

        return one

    step.turns({name: noted(calls[name]) for name in ("loss", STEP)}, state, rounds=2, seconds=1e-9)
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]


def test_chips_are_known_by_what_jax_calls_them():
    assert chip_of("NVIDIA H200") == CHIPS["H200"]
    assert chip_of("NVIDIA H100 80GB HBM3") == CHIPS["H100"]
    assert chip_of("TPU v5 lite") == CHIPS["TPU v5 lite"] != chip_of("TPU v5p") == CHIPS["TPU v5"]
    assert [chip_of(kind) for kind in ("cpu", "NVIDIA GH200 480GB", "NVIDIA H100 PCIe")] == [None] * 3


def test_the_verb_says_it_in_a_line_and_a_figure(tmp_path, capsys):
    words = ["--train.batch", "16", "--out", str(tmp_path), "--rounds", "2", "--seconds", "0.01", "--profile"]
    assert main(["bench", "step", "mim:tiny", *words]) == 0
    (line,) = (tmp_path / "step.jsonl").read_text().splitlines()
    said = json.loads(line)
    assert (said["recipe"], said["batch"], said["mfu"]) == ("mim:tiny", 16, None)
    assert said["images_per_second"] == pytest.approx(16 / said["step_seconds"])
    assert said["fastest_seconds"] <= said["step_seconds"] <= said["slowest_seconds"]
    assert said["cached_compile_seconds"] < said["compile_seconds"]
    assert sum(said["shares"].values()) == pytest.approx(1)
    assert said["step_bytes"] > said["state_bytes"] > 4 * said["parameters"]
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert "images a second" in capsys.readouterr().err


def test_fed_by_a_store_the_step_is_that_of_its_images(tmp_path):
    store = data_phantom(tmp_path / "store", CineOptions(subjects=10, phases=2, slices=2))
    given = {"data.store": str(store), "train.batch": 8, "train.steps_per_dispatch": 2, "train.log_every": 2}
    recipe = load_recipe("mim:tiny", given)
    feed = Feed(open_source(recipe.data), recipe.train)
    bench = Workbench(recipe, feed)
    np.testing.assert_array_equal(bench.batch["image"], feed.first(8)["image"])
    calls, states = bench.dispatched(feed, pytest.fail), {}
    for name, call in calls.items():
        states[name], _ = call(bench.state())
        assert states[name].step == 2
    # The second of two batches that are there is the first again; the store has another.
    different = jax.tree.map(lambda a, b: bool((a != b).any()), states[STILL].params, states[FED].params)
    assert any(jax.tree.leaves(different))
    said = bench_step(recipe, tmp_path / "out", rounds=1, seconds=0.01, fed=True)
    assert said["fed_of_fixed"] > 0
    assert said["fed_images_per_second"] == pytest.approx(16 / said["turns_fed"][0]["wall"])


def test_what_is_no_turn_is_refused(tmp_path):
    with pytest.raises(UserError, match="--rounds must be at least 1"):
        bench_step("mim:tiny", tmp_path / "out", rounds=0)
    assert not (tmp_path / "out").exists()
