"""What `bench loader` measures, on a small run."""

import json

import pytest
import samples

from jaxssl.data.store import write
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.run import loading
from jaxssl.run.loading import bench_loader


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("loading") / "store"
    return write(samples.records(8), path, name="discs", description="Discs (synthetic).", licence="none").path


def test_a_store_is_loaded_and_trained_on(store, tmp_path, capsys):
    out = bench_loader("mim:tiny", str(store), tmp_path / "out", batch=8, rounds_each=2, seconds=0.01, steps=4)
    (line,) = (out / "loading.jsonl").read_text().splitlines()
    said = json.loads(line)
    ours = said["sides"].pop("jaxssl")
    assert said["sides"] == {}
    assert ours["turns"] == 2
    assert 0 < ours["wall_least"] <= ours["wall"] <= ours["wall_most"]
    assert 0 <= said["data_wait"] < 1
    assert f"waits for data in {said['data_wait']:.2%} of the time" in capsys.readouterr().err


def test_the_steps_that_are_timed_are_not_probed(tmp_path, monkeypatch):
    def pretended(recipe, folder, console):
        assert recipe.train.probe_every == 0
        folder.mkdir()
        timed = [(1, 10.0, 0.9), (2, 11.0, 0.5), (3, 14.0, 0.1)]
        lines = [json.dumps({"step": step, "seconds": at, "data_wait": wait}) for step, at, wait in timed]
        (folder / "timing.jsonl").write_text("\n".join(lines))
        return folder

    monkeypatch.setattr(loading, "pretrain", pretended)
    assert loading._data_wait(load_recipe("mim:small"), 8, None) == pytest.approx((1 * 0.5 + 3 * 0.1) / 4)


def test_nothing_to_measure_is_refused(store, tmp_path):
    with pytest.raises(UserError, match="--rounds must be at least 1"):
        bench_loader("mim:tiny", str(store), tmp_path / "out", rounds_each=0)
