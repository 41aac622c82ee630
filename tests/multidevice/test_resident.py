"""Images that stay on the devices: the same batches, and nothing of them comes from the host any more."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxssl
from jaxssl.train import loop, resident
from jaxssl.train.mesh import by_sample, make_mesh


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom"
    return jaxssl.data_phantom(path, jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))


@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 99),
    devices=st.sampled_from([1, 2, 8]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    count=st.sampled_from([5, 16, 21]),
)
def test_samples_come_from_wherever_they_lie_to_where_they_are_needed(seed, devices, dtype, count):
    random = np.random.default_rng(seed)
    mesh = make_mesh(jax.devices()[:devices], 2 if devices > 1 else 1)
    images = random.integers(0, np.iinfo(dtype).max, (40, 3, 2, 1), dtype, endpoint=True)
    rows = random.choice(40, count, replace=False)
    there = resident.put_images(mesh, rows, images, images[..., 0].astype(np.uint8))
    assert {shard.data.shape[0] for shard in there.image.addressable_shards} == {-(-count // devices)}
    ids = random.choice(rows, 16)
    batch = {"id": ids, "partners": {"phase": {"id": ids[::-1]}}}
    batch = jax.device_put(batch, by_sample(mesh))
    found = jax.jit(resident.complete(mesh))(batch, there)
    np.testing.assert_array_equal(found["image"], images[ids])
    np.testing.assert_array_equal(found["mask"], images[ids][..., 0].astype(np.uint8))
    np.testing.assert_array_equal(found["partners"]["phase"]["image"], images[ids[::-1]])
    assert found["image"].sharding.is_equivalent_to(by_sample(mesh), 4)


def test_a_device_never_holds_the_whole_batch(monkeypatch):
    monkeypatch.setattr(resident, "PIECE", 2**16)
    mesh, images = make_mesh(), np.zeros((64, 32, 32, 1), np.uint16)
    there = resident.put_images(mesh, np.arange(64), images, None)
    ids = jax.ShapeDtypeStruct((4096,), np.int32, sharding=by_sample(mesh))
    compiled = jax.jit(resident.complete(mesh)).lower({"id": ids}, there).compile()
    batch = 4096 * images[0].nbytes
    assert compiled.memory_analysis().output_size_in_bytes < 1.1 * batch / 8
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 2**16 + 1.1 * batch / 8


def test_a_run_with_resident_images_is_the_same_and_sends_none(store, tmp_path, monkeypatch):
    sent, put_batch = [], loop.put_batch

    def put_and_count(mesh, batch, axis):
        sent.append({jax.tree_util.keystr(path): leaf.nbytes for path, leaf in jax.tree.leaves_with_path(batch)})
        with jax.transfer_guard_host_to_device("allow"):
            return put_batch(mesh, batch, axis)

    monkeypatch.setattr(loop, "put_batch", put_and_count)
    take_steps = loop.run_steps

    def without_other_transfers(dispatch, *rest):
        def guarded(state, batch):
            with jax.transfer_guard_host_to_device("disallow_explicit" if len(sent) > 1 else "allow"):
                return dispatch(state, batch)

        return take_steps(guarded, *rest)

    monkeypatch.setattr("jaxssl.run.assembly.run_steps", without_other_transfers)
    losses = {}
    for name, flags in {"host": {}, "resident": {"data.resident": True, "train.steps_per_dispatch": 2}}.items():
        sent.clear()
        flags = {"data.store": str(store), "train.steps": 5, "train.log_every": 2, "train.checkpoint_every": 2, **flags}
        jaxssl.finetune("segment:tiny", tmp_path / name, flags)
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses[name] = [json.loads(line)["loss"] for line in lines]
        pixels = [sum(size for key, size in sizes.items() if "image" in key or "mask" in key) for sizes in sent]
        assert all(count > 0 for count in pixels) if name == "host" else not any(pixels)
    np.testing.assert_allclose(losses["resident"], losses["host"], rtol=1e-5)
    assert len(losses["host"]) == 3


def test_images_that_do_not_fit_come_from_the_host_with_a_sentence(store, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(resident, "memory_of", lambda device: 1000.0)
    flags = {"data.store": str(store), "train.steps": 1, "data.resident": True}
    jaxssl.pretrain("mim:tiny", tmp_path / "run", flags)
    said = " ".join(capfd.readouterr().err.split())
    assert "GB of images a device are more than half of its 0.00 GB; they come from the host instead." in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
