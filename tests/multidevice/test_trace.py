"""A trace says how long devices exchanged, and no more than the time that they had."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxssl.bench.step import Call
from jaxssl.bench.trace import EXCHANGE, exchanging, traced
from jaxssl.train.mesh import by_sample, make_mesh


def calls() -> dict[str, Call]:
    """Sums over rows that are spread over all devices: within a row, and with the other devices."""
    mesh = make_mesh()
    rows = jax.device_put(jnp.ones((64, 4096)), by_sample(mesh))
    alone = jax.jit(lambda x: jnp.tanh(x).sum(1), out_shardings=by_sample(mesh))
    together = jax.jit(lambda x: jnp.tanh(x).sum(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
    return {name: lambda state, f=f: (state, f(rows)) for name, f in {"alone": alone, "together": together}.items()}


def test_only_who_exchanges_spends_time_at_it(tmp_path):
    found = {}
    for name, call in calls().items():
        jax.block_until_ready(call(None))  # type: ignore[arg-type]
        _, seconds = traced(call, None, tmp_path / name)  # type: ignore[arg-type]
        found[name] = exchanging(tmp_path / name)
        assert found[name] <= seconds * len(jax.devices())
    assert found["alone"] == 0 < found["together"]


def test_collectives_are_known_by_their_names():
    names = ["all-reduce.3", "all-gather-start", "all-reduce-done.1", "ncclDevKernel_AllReduce_Sum_f32", "reduce.2"]
    assert [bool(EXCHANGE.search(name)) for name in names] == [True] * 4 + [False]
