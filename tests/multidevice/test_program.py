"""Work and memory of one device of eight."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxssl.bench import program
from jaxssl.bench.program import Collective

F32 = 4
MESH = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))


def placed(*spec):
    return NamedSharding(MESH, PartitionSpec(*spec))


def array(sizes, *spec):
    return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=placed(*spec))


def compiled(function, *arguments, to):
    return jax.jit(function, out_shardings=placed(*to)).lower(*arguments).compile()


def test_divided_rows_are_an_eighth_of_the_work_and_need_no_exchange():
    program_ = compiled(jnp.matmul, array((256, 64), "x"), array((64, 32)), to=("x",))
    assert program.flops(program_) == 2 * 256 * 64 * 32 // 8
    assert program.collectives(program_) == {}
    assert program.memory(program_).argument == F32 * (256 * 64 // 8 + 64 * 32)
    assert program.memory(program_).output == F32 * 256 * 32 // 8


def test_divided_weights_are_gathered_once_and_whole():
    weights = array((512, 384), "x")
    program_ = compiled(jnp.matmul, array((4096, 512), "x"), weights, to=("x",))
    assert program.flops(program_) == 2 * 4096 * 512 * 384 // 8
    assert program.collectives(program_) == {"all-gather": Collective(1, F32 * 512 * 384)}
    assert program.memory(program_).argument == F32 * (4096 * 512 + 512 * 384) // 8


def test_a_gradient_of_weights_is_summed_over_the_devices():
    def loss(w, x):
        return jnp.square(x @ w).sum()

    program_ = compiled(jax.grad(loss), array((64, 32)), array((256, 64), "x"), to=())
    assert program.flops(program_) == 2 * 2 * 256 * 64 * 32 // 8
    assert program.collectives(program_) == {"all-reduce": Collective(1, F32 * 64 * 32)}


@pytest.mark.parametrize(
    ("kind", "local", "of_device"),
    [
        ("collective-permute", lambda x: lax.ppermute(x, "x", [(i, (i + 1) % 8) for i in range(8)]), 32 * 16),
        ("all-to-all", lambda x: lax.all_to_all(x, "x", 0, 0, tiled=True), 32 * 16),
        ("reduce-scatter", lambda x: jnp.tile(lax.psum_scatter(x, "x", tiled=True), (8, 1)), 32 * 16),
    ],
)
def test_exchanges_in_a_loop_count_at_every_turn(kind, local, of_device):
    def five_times(x):
        return lax.scan(lambda x, _: (local(x), None), x, length=5)[0]

    rows = PartitionSpec("x")
    spread = jax.shard_map(five_times, mesh=MESH, in_specs=rows, out_specs=rows)
    program_ = compiled(spread, array((8 * 32, 16), "x"), to=("x",))
    assert program.collectives(program_) == {kind: Collective(5, 5 * F32 * of_device)}
