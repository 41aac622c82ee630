"""A run is its seed's: again the same to the bit, and with another seed another from the first step on."""

import json

import jaxssl


def losses(store, workdir, seed: int) -> list[str]:
    changes = {"data.store": str(store), "train.steps": 2, "train.log_every": 1, "train.seed": seed}
    jaxssl.pretrain("mim:tiny", workdir, changes)
    return (workdir / "metrics.jsonl").read_text().splitlines()


def test_a_seed_gives_the_same_run_again_and_another_seed_another(store, tmp_path):
    first, again, other = (losses(store, tmp_path / str(n), seed) for n, seed in enumerate((0, 0, 1)))
    assert first == again
    for mine, theirs in zip(first, other, strict=True):
        assert json.loads(mine)["loss"] != json.loads(theirs)["loss"]
