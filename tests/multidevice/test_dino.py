"""DINO with what DINOv2 added, put to the contract kit: Sinkhorn, KoLeo and hidden patches meet all samples at once."""

from dataclasses import replace

import cases
import jax
import pytest
from methods.test_dino import EXTRAS
from multidevice import test_contract as kit

NAME = "dino with extras"


@pytest.fixture(autouse=True)
def by_name(monkeypatch):
    # Embeddings that differ from the start: class tokens begin nearly equal, and KoLeo's logarithm enlarges rounding.
    case = replace(EXTRAS, model=replace(EXTRAS.model, pool="mean"))
    monkeypatch.setattr(cases, "quick", lambda name: case)
    monkeypatch.setattr(kit.mesh, "SMALL", 1)


@pytest.mark.slow
def test_devices_and_micro_batches_do_not_change_the_step():
    kit.assert_same(NAME, (8, 2, 4), "float32", 1e-5)


def test_in_float64_the_step_is_the_same_to_rounding():
    with jax.enable_x64(True):
        kit.assert_same(NAME, (8, 2, 4), "float64", 1e-9)
