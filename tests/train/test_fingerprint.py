"""A fingerprint sees every change and is blind to where an array lives."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxssl.train.fingerprint import describe, empty_branches, fingerprint, named, nested, readable

DTYPES = ["float32", "bfloat16", "float16", "float8_e4m3fn", "float64", "int8", "uint16", "int32", "int64"]


def of(array) -> str:
    return readable(fingerprint({"leaf": array}))["leaf"]


def from_bytes(raw: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(raw, jnp.dtype(dtype)).reshape(shape)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_every_single_bit_counts(data, dtype):
    size = 15 * jnp.dtype(dtype).itemsize
    raw = bytearray(data.draw(st.binary(min_size=size, max_size=size)))
    before = of(from_bytes(bytes(raw), dtype, (3, 5)))
    bit = data.draw(st.integers(0, 8 * size - 1))
    raw[bit // 8] ^= 1 << bit % 8
    after = of(from_bytes(bytes(raw), dtype, (3, 5)))
    # Both lanes, each by itself, must see it.
    assert before[:8] != after[:8]
    assert before[8:] != after[8:]


@settings(max_examples=150, deadline=None)
@given(values=st.lists(st.floats(width=32), min_size=12, max_size=12), order=st.permutations(range(12)))
def test_order_counts(values, order):
    array = np.asarray(values, np.float32)
    shuffled = array[list(order)]
    assert (of(array) == of(shuffled)) == (array.tobytes() == shuffled.tobytes())


def test_swapping_a_value_with_its_negative_is_seen():
    array = np.arange(1, 65, dtype=np.float32)
    array[40] = -array[3]
    swapped = array.copy()
    swapped[[3, 40]] = array[[40, 3]]
    assert of(array) != of(swapped)


def test_values_that_compare_alike_differ():
    zeros = np.zeros(4, np.float32)
    quiet, payload = (np.array([word], np.uint32).view(np.float32) for word in (0x7FC00000, 0x7FC00001))
    assert of(zeros) != of(-zeros)
    assert of(quiet) != of(payload)
    assert of(np.array([True, False])) != of(np.array([False, True]))
    assert of(np.zeros(3, np.float32)) != of(np.zeros(4, np.float32))


@pytest.mark.parametrize("dtype", [*DTYPES, "bool"])
@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4), (0, 3)])
def test_host_and_device_agree(dtype, shape):
    size = int(np.prod(shape)) * jnp.dtype(dtype).itemsize
    raw = np.random.default_rng(0).bytes(size)
    array = from_bytes(raw, dtype, shape) if dtype != "bool" else np.random.default_rng(0).random(shape) < 0.5
    with jax.enable_x64(True):
        assert of(jnp.asarray(array)) == of(array)
    assert describe({"a": array}) == {"a": {"dtype": dtype, "shape": list(shape)}}


def test_typed_keys():
    keys = jax.random.split(jax.random.key(0), 3)
    assert of(keys) == of(jax.random.key_data(keys)) != of(keys[::-1])
    abstract = jax.eval_shape(lambda: {"a": keys, "b": jnp.int32(1)})
    assert describe(abstract) == {"a": {"dtype": "key<fry>", "shape": [3, 2]}, "b": {"dtype": "int32", "shape": []}}


def test_paths_are_unambiguous():
    assert list(named({"a": [1, {"b": 2}], "c": (3,), "none": None})) == ["a/0", "a/1/b", "c/0"]
    with pytest.raises(ValueError, match="'/'"):
        named({"a/0": 1})


def test_nested_is_the_inverse_of_named():
    tree = {"params": {"a": 1, "b": {"c": 2}}, "carry": {}, "moments": {"d": {"e": {}}, "f": 3}}
    assert nested(named(tree), empty_branches(tree)) == tree


SHARDED = """
import json, sys, jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jaxssl.train.fingerprint import fingerprint, readable
rng = np.random.default_rng(0)
tree = {"rows": rng.standard_normal((8, 3)), "columns": rng.standard_normal((5, 16)), "whole": rng.standard_normal(7)}
tree = {name: leaf.astype(np.float32) for name, leaf in tree.items()}
tree["half"] = tree["rows"].astype(jnp.bfloat16)
specs = {"rows": P("data"), "columns": P(None, "data"), "whole": P(), "half": P("data")}
seen = [readable(fingerprint(tree))]
for devices in (1, 2, 4, 8):
    mesh = jax.make_mesh((devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[:devices])
    placed = {name: jax.device_put(leaf, NamedSharding(mesh, specs[name])) for name, leaf in tree.items()}
    assert len(placed["rows"].sharding.device_set) == devices
    seen.append(readable(fingerprint(placed)))
print(json.dumps(seen))
"""


def test_sharding_does_not_count():
    root = pathlib.Path(__file__).parents[2]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], env=os.environ | flags, capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert len(set(seen[0].values())) == 4
    assert seen == seen[:1] * 5
