"""The verbs on eight devices."""

import json

import numpy as np

import jaxssl


def test_pretraining_and_fine_tuning_run_on_eight_devices_as_on_one(tmp_path, monkeypatch):
    """Same data order, same draws, same losses: the run does not know how many devices it has."""
    import jax

    store = jaxssl.data_phantom(tmp_path / "store", jaxssl.CineOptions(subjects=10, phases=2, slices=4, seed=3))
    tiny = {"data.store": str(store), "train.steps": 3}
    losses = {}
    for count in (8, 1):
        devices = jax.devices()[:count]
        monkeypatch.setattr(jax, "devices", lambda *_, devices=devices: devices)
        jaxssl.pretrain("mim:tiny", tmp_path / f"mim{count}", tiny)
        start = {**tiny, "init.run": str(tmp_path / f"mim{count}")}
        jaxssl.finetune("segment:tiny", tmp_path / f"segment{count}", start)
        losses[count] = [
            json.loads(line)["loss"]
            for name in ("mim", "segment")
            for line in (tmp_path / f"{name}{count}" / "metrics.jsonl").read_text().splitlines()
        ]
    assert len(losses[8]) == 6
    np.testing.assert_allclose(losses[8], losses[1], rtol=1e-3)
    assert (tmp_path / "segment8" / "evaluation.json").exists()
