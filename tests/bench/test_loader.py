"""What `bench loader` measures, on loaders of known speed and on a small run."""

import json
from contextlib import contextmanager

import pytest
import samples

from jaxssl.bench import loader
from jaxssl.bench.loader import OURS, PEER, rounds
from jaxssl.data.store import write
from jaxssl.errors import UserError
from jaxssl.run.loading import bench_loader


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("loading") / "store"
    return write(samples.records(8), path, name="discs", description="Discs (synthetic).", licence="none").path


def test_turns_go_by_turns_and_speeds_are_images_by_seconds(monkeypatch):
    """A loader of 1,000 batches a second, and one of 250: turns of half a second are 500 and 125 batches."""
    asked = []

    def of_speed(name, speed):
        def timed(count):
            asked.append((name, count))
            return count / speed

        return timed

    @contextmanager
    def loaders(*_):
        yield {OURS: of_speed("a", 1000), PEER: of_speed("b", 250)}

    monkeypatch.setattr(loader, "_loaders", loaders)
    measured = list(rounds(None, None, batch=64, count=2, seconds=0.5))
    assert [(r.loader, r.number) for r in measured] == [(OURS, 0), (PEER, 0), (OURS, 1), (PEER, 1)]
    assert [r.images_per_second for r in measured] == [64_000, 16_000] * 2
    assert asked == [("a", 8), ("b", 8), ("a", 500), ("b", 125), ("a", 500), ("b", 125)]


def test_a_store_is_loaded_and_trained_on(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loader, "find_spec", lambda name: None)
    out = bench_loader("mim:tiny", str(store), tmp_path / "out", batch=8, rounds_each=2, seconds=0.01, steps=4)
    *measured, trained = [json.loads(line) for line in (out / "loading.jsonl").read_text().splitlines()]
    assert [(r["loader"], r["number"]) for r in measured] == [(OURS, 0), (OURS, 1)]
    assert all(r["images_per_second"] > 0 for r in measured)
    assert 0 <= trained["data_wait"] < 1
    shown = capsys.readouterr().err
    assert "not run: no torch" in shown
    assert f"waits for data in {trained['data_wait']:.2%} of the time" in shown


def test_nothing_to_measure_is_refused(store, tmp_path):
    with pytest.raises(UserError, match="--rounds must be at least 1"):
        bench_loader("mim:tiny", str(store), tmp_path / "out", rounds_each=0)
