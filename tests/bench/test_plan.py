"""A plan's parts: what lives at once, what exchanges grow to, how long links take, which chip is meant, what fits."""

import functools
import json
from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxssl.bench import chips, liveness, products, program
from jaxssl.bench.chips import NAMED, chip_named, chip_of
from jaxssl.bench.liveness import Kernel, temporary_bytes
from jaxssl.bench.plan import Memory, carried, compute_seconds, exchange_seconds
from jaxssl.bench.products import Product
from jaxssl.bench.program import Collective
from jaxssl.bench.step import model_products
from jaxssl.cli import main
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.run import plan
from jaxssl.run.planned import Planned
from jaxssl.run.workbench import Workbench
from jaxssl.train.mesh import make_mesh

H100, V5P = chip_named("h100"), chip_named("v5p")
SIDE = 64
SQUARE, BYTES = jnp.ones((SIDE, SIDE)), 4 * SIDE**2


def layer(x, w):
    return jnp.tanh(x @ w)


def test_what_only_the_next_kernel_reads_is_no_array_and_what_two_read_is():
    assert temporary_bytes(lambda x: x * 2 + 1, SQUARE) == 0, "fused into what is returned"
    assert temporary_bytes(lambda x: (x * 2 + 1) @ x @ x, SQUARE) == 2 * BYTES, "a sum, and a product made of it"
    assert temporary_bytes(lambda x: (x @ x).sum(), SQUARE) == BYTES
    assert temporary_bytes(lambda x: jnp.sin(x @ x).sum(), SQUARE) == BYTES

    def both(x):
        y = jnp.sin(x @ x)
        return y.sum() * y.max()

    assert temporary_bytes(both, SQUARE) == BYTES + 4, "the sine is written over the product; one sum waits"


def test_backward_passes_keep_each_layer_and_checkpoints_only_the_input_of_three():
    def thrice(x, w):
        return layer(layer(layer(x, w), w), w)

    def loss(one):
        return lambda w, x: functools.reduce(lambda x, _: one(x, w), range(10), x).sum()

    kept, remade = (
        temporary_bytes(jax.grad(loss(one), argnums=1), SQUARE, SQUARE) for one in (thrice, jax.checkpoint(thrice))
    )
    assert 30 * BYTES <= kept <= 34 * BYTES
    assert 10 * BYTES <= remade <= 21 * BYTES


def test_a_loop_needs_its_body_once_and_its_results_all_the_time():
    stack = jnp.ones((50, SIDE, SIDE))

    def turn(x, w):
        y = x @ w
        return y @ w, y.sum()

    assert 2 * BYTES <= temporary_bytes(lambda x, ws: lax.scan(turn, x, ws)[0].sum(), SQUARE, stack) <= 4 * BYTES
    written = temporary_bytes(lambda x, ws: lax.scan(lambda x, w: (x @ w, x @ w), x, ws)[1].sum(), SQUARE, stack)
    assert 50 * BYTES <= written <= 53 * BYTES


def test_the_peak_of_kernels_in_their_order():
    """Two products live while a third is made of them; the first has gone when the fourth is made."""

    def most(body):
        last = Kernel("dot_general", (2, 3), (4,), body)
        first = [Kernel("dot_general", given, made) for given, made in (((0, 0), (1,)), ((0, 0), (2,)), ((1, 2), (3,)))]
        return liveness.peak([*first, last], [7, 10, 20, 40, 80], returned={4})

    assert most(body=0) == 10 + 20 + 40
    assert most(body=15) == 20 + 40 + 15


def test_exchanges_that_sum_stay_and_those_that_hand_on_grow():
    summed, ring = "all-reduce", "collective-permute"
    few = {summed: Collective(4, 1000), ring: Collective(12, 480), "all-gather": Collective(9, 90)}
    more = {summed: Collective(4, 1000), ring: Collective(20, 800), "all-gather": Collective(1, 10)}
    found = carried(few, more, (4, 8), 256)
    assert found[summed] == Collective(4, 1000)
    assert found[ring] == Collective(20 + 248 * 2, 800 + 248 * 80)
    assert found["all-gather"] == Collective(1, 10), "what falls is not carried on"


def test_links_are_those_of_a_ring_in_a_node_and_between_nodes():
    """An all-reduce sends all but a device's own part twice; between nodes go only parts."""
    exchanged = {"all-reduce": Collective(1, 8_000_000_000)}
    assert exchange_seconds(exchanged, 8, H100) == pytest.approx(2 * 7e9 / 450e9)
    assert exchange_seconds(exchanged, 16, H100) == pytest.approx(2 * 7e9 / 450e9 + 2 * 0.5e9 / 50e9)
    assert exchange_seconds({"all-gather": Collective(1, 8_000_000_000)}, 4, V5P) == pytest.approx(6e9 / 600e9)
    ring = {"collective-permute": Collective(4, 10**9)}
    assert [exchange_seconds(ring, n, H100) for n in (8, 16)] == pytest.approx([1 / 450, 1 / 50])
    assert exchange_seconds(exchanged, 1, H100) == 0


def test_a_step_takes_its_products_what_others_bring_and_the_state_both_ways():
    found = [Product(flops=1000, bytes=10, times=2), Product(flops=10, bytes=100)]
    assert compute_seconds(found, 300, 50, peak=100, bandwidth=10) == 2 * 10 + 10 + 3 + 2 * 5


def test_memory_is_all_that_lies_there():
    assert Memory(state=1, gathered=20, temporary=300, batch=4000, images=50000).total() == 54321
    assert Memory(state=1, gathered=20, temporary=300, batch=4000, images=50000).total(1.5) == 54471


def test_memory_fits_if_it_does_however_far_off_the_estimate_was():
    chip = H100._replace(memory=1000, usable=1.0)
    verdicts = [Memory(200, 0, temporary, 100, 100).verdict(chip) for temporary in (400, 500, 690, 710)]
    assert verdicts == ["fits", "may not fit", "may not fit", "does not fit"]


def test_chips_go_by_the_names_people_have_for_them():
    assert all(chip_named(name).memory > 1e10 for name in NAMED)
    assert chip_named("V5P") == chip_of("TPU v5p")
    assert chip_named("h200") == chip_of("NVIDIA H200")
    assert chip_named("a100-40") == chip_of("NVIDIA A100-SXM4-40GB")
    assert chip_named("a100-80") == chip_of("NVIDIA A100-SXM4-80GB") != chip_named("a100-40")
    with pytest.raises(UserError, match="nearest are h200, h100"):
        chip_named("h20")


SMALL = [pytest.param(f"{name}:small", marks=pytest.mark.slow) for name in ("simclr", "mim", "mae", "dino", "segment")]


@pytest.mark.parametrize("name", ["mim:tiny", "mae:tiny", *SMALL])
def test_the_estimate_is_as_near_to_the_compilers_account_as_it_says(name):
    planned = Planned(load_recipe(name), 1, H100, 100)
    training, mesh = planned.training(planned.share), make_mesh(jax.devices()[:1])
    batch = planned.batch(planned.share)
    step = jax.jit(training.programs(mesh)["step"], donate_argnums=0).lower(training.state(batch, mesh), batch)
    least, most = (share * program.memory(step.compile()).temporary for share in liveness.SPREAD)
    assert least <= planned.memory.temporary <= most


def test_the_verb_says_it_in_a_table_and_a_file(tmp_path, capsys):
    words = ["--chip", "v5e", "--devices", "4", "--no-compiled", "--train.batch", "8", "--out", str(tmp_path)]
    assert main(["plan", "mim:tiny", *words]) == 0
    said = json.loads((tmp_path / "plan.json").read_text())
    bench = Workbench(load_recipe("mim:tiny"))
    work = products.flops(model_products(bench.programs, bench.abstract, bench.batch))
    assert (said["flops"], said["memory"]["state"]) == (work, bench.state_bytes)
    assert said["hours"] == pytest.approx(4 * said["step_seconds"] / 3600), "the recipe is of four steps"
    assert said["mfu"] == pytest.approx(work / 4 / said["step_seconds"] / 197e12)
    assert 0 < said["mfu"] < 1
    assert "switches" not in said
    assert "left out: not compiled" in capsys.readouterr().err


def test_each_switch_is_planned_and_all_of_them_where_none_is_enough():
    case = cases.quick("simclr")
    case = replace(case, train=replace(case.train, batch=16))
    whole = Planned(case, 4, H100._replace(node=2), 100)
    needed = whole.memory.total(1 / liveness.SPREAD[0])

    def found(usable):
        return dict(replace(whole, chip=whole.chip._replace(memory=usable, usable=1.0)).switches())

    almost, hardly = found(0.9 * needed), found(1)
    assert almost["--train.batch 8"].verdict == "fits"
    halved = almost["--train.batch 8"].memory
    assert (halved.state, 2 * halved.batch) == (whole.memory.state, whole.memory.batch)
    assert halved.temporary < whole.memory.temporary
    assert {one.verdict for one in hardly.values()} == {"does not fit"}
    *single, together = hardly
    # The group for normalisation follows where fewer samples are seen at a time than it has.
    precision, fsdp, pieces = (
        "--train.precision bfloat16",
        "--train.fsdp 2",
        "--train.micro-batches 4 --model.norm.group 4",
    )
    assert single == [precision, fsdp, pieces, "--train.batch 4 --model.norm.group 4"]
    assert together == f"{precision} {fsdp} {pieces}"


def test_what_cannot_be_planned_is_refused():
    for changes, arguments, words in (
        ({"train.fsdp": 3}, (8, "h100"), "train.fsdp 3 does not divide"),
        ({"train.batch": 12}, (8, "h100"), "group 8 does not divide"),
        ({}, (8, "cpu"), "--devices 1"),
        ({}, (8, "h100", 4), "fewer than a batch"),
        ({}, (0, "h100"), "at least 1"),
    ):
        with pytest.raises(UserError, match=words):
            plan("mim:tiny", *arguments, overrides=changes, compiled=False)


def test_this_machine_is_measured_on_its_cpu_whatever_jax_takes_by_default(monkeypatch):
    def timed(function, array, *others):
        assert jax.config.values["jax_default_device"].platform == "cpu"
        return 1.0

    monkeypatch.setattr(chips, "_fastest", timed)
    assert chip_named("cpu").peak == 2 * 2048**3


def test_a_plan_takes_no_accelerator_also_from_python():
    before = jax.config.values["jax_platforms"]
    try:
        jax.config.update("jax_platforms", None)
        plan("simclr:tiny", 1, images=1000, compiled=False)
        assert jax.config.values["jax_platforms"] == "cpu"
    finally:
        jax.config.update("jax_platforms", before)
