"""What scales how: values of the scaling table against states that were really made."""

import json

import cases
import jax
import jax.numpy as jnp
import pytest

from jaxssl.bench.batch import abstract_batch
from jaxssl.bench.scale import of_loss, of_step
from jaxssl.errors import UserError
from jaxssl.methods.base import build
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.run import bench
from jaxssl.train.mesh import make_mesh
from jaxssl.train.optim import make_optimiser
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule

SIZE = 64


def step_on(devices: int, fsdp: int):
    """The row of a step, and how to make its first state for real."""
    case = cases.tiny("mim")
    model = UNet(widths=(16, 32), norm=Norm(group=8))
    method, optimiser = build(case.method, model, case.spec()), make_optimiser(case.optim, 10)
    mesh, schedule = make_mesh(jax.devices()[:devices], fsdp), Schedule(10, 5)
    row = of_step("step", method, optimiser, schedule, abstract_batch(case.data, 1, SIZE), mesh)
    image = jnp.zeros((1, *case.data.layout.size, 1))
    views = {"image": image, "masked": image, "hidden": image > 0}
    abstract = abstract_state(method, optimiser, 0, views, mesh)
    return row, lambda: create_state(method, optimiser, 0, views, abstract)


def test_work_and_a_divided_state_fall_with_the_number_of_devices():
    (one, _), (repeated, _), (divided, make) = step_on(1, 1), step_on(8, 1), step_on(8, 8)
    state = make()
    assert repeated.flops == divided.flops
    assert repeated.flops == pytest.approx(one.flops / 8, rel=1e-6)
    assert repeated.temporary < one.temporary / 6
    assert one.state == repeated.state == sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert divided.state == sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    assert one.state / 8 < divided.state < one.state / 6
    assert one.collectives == {}
    # Each gradient is summed over the devices once, in float32, and weights that are divided are gathered once.
    params = jax.tree.leaves(state.params)
    everything, in_parts = (
        sum(p.nbytes for p in ps) for ps in (params, [p for p in params if not p.is_fully_replicated])
    )
    assert everything <= repeated.collectives["all-reduce"].bytes < 1.3 * everything
    assert in_parts <= divided.collectives["all-gather"].bytes < 1.3 * everything


def test_the_contrastive_loss_divides_its_work_and_never_gathers_all_rows():
    rows, dim = 4096, 32
    one, eight = (of_loss("loss", rows, dim, make_mesh(jax.devices()[:n])) for n in (1, 8))
    assert eight.flops < 1.2 * one.flops / 8
    assert "all-gather" not in eight.collectives
    assert eight.temporary < rows * rows * 4 / 8


def test_the_verb_writes_a_line_a_program_and_mesh_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "DEVICES", (4,))
    out = bench.bench_scale("simclr:tiny", out=tmp_path / "scale", batch=16, rows=64)
    repeated, divided, loss = (json.loads(line) for line in (out / "scale.jsonl").read_text().splitlines())
    assert repeated["devices"] == divided["devices"] == loss["devices"] == 4
    # Its arrays are all too small to be divided: both programs are the same.
    assert {**repeated, "program": divided["program"]} == divided
    assert repeated["collectives"]["all-reduce"]["bytes"] > 0
    of_library = of_loss(loss["program"], 64, bench.DIM, make_mesh(jax.devices()[:4]))
    assert loss["flops"] == of_library.flops
    assert (out / "scale.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("batch", "rows", "word"), [(12, 64, "batch"), (16, 63, "rows"), (16, 8, "rows")])
def test_what_cannot_be_divided_is_refused_before_anything_is_written(tmp_path, batch, rows, word):
    with pytest.raises(UserError, match=word):
        bench.bench_scale("simclr:tiny", out=tmp_path / "scale", batch=batch, rows=rows)
    assert not (tmp_path / "scale").exists()
