"""A plan against programs on the devices that it plans for."""

from dataclasses import replace

import cases
import jax
import pytest

from jaxssl.bench.chips import chip_named
from jaxssl.bench.plan import carried
from jaxssl.bench.scale import of_loss, of_step
from jaxssl.run.planned import Planned
from jaxssl.train.mesh import make_mesh
from jaxssl.train.optim import make_optimiser
from jaxssl.train.state import create_state
from jaxssl.train.step import Schedule

H100 = chip_named("h100")


def test_the_state_is_that_of_a_run_to_the_byte_however_it_is_divided():
    """Of what lies on one device; the plan knows no devices."""
    case = cases.tiny("mim")
    case = replace(case, model=replace(case.model, widths=(16, 32)), train=replace(case.train, batch=16, average=0.99))
    for fsdp in (1, 2, 8):
        planned = Planned(replace(case, train=replace(case.train, fsdp=fsdp)), 8, H100, 100)
        training, one = planned.training(2), planned.batch(2)
        abstract = training.state(one, make_mesh(fsdp=fsdp))
        views = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), training.views(one))
        state = create_state(training.method, training.optimiser, 0, views, abstract)
        held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
        assert planned.memory.state == held


def test_what_eight_devices_exchange_follows_from_two_and_four():
    """With as many samples on each, of a step whose samples meet."""
    case = cases.quick("dino")
    method = cases.method_of(cases.with_group(case, 4))

    def on(devices):
        batch = Planned(case, 1, H100, 100).batch(4 * devices)
        optimiser, mesh = make_optimiser(case.optim, 10), make_mesh(jax.devices()[:devices])
        return of_step(case.name, method, optimiser, Schedule(10, 5), batch, mesh).collectives

    found, wanted = carried(on(2), on(4), (2, 4), 8), on(8)
    assert found.keys() == wanted.keys()
    for kind, one in wanted.items():
        assert found[kind].bytes == pytest.approx(one.bytes, rel=0.02)


def test_what_a_ring_of_eight_hands_on_follows_from_four_and_six():
    four, six, eight = (of_loss("loss", 64 * n, 16, make_mesh(jax.devices()[:n])).collectives for n in (4, 6, 8))
    assert carried(four, six, (4, 6), 8) == eight
