"""What a segmentation run is judged by, of a network whose answers are known."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import samples

from jaxssl import config
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.source import Source, open_source
from jaxssl.data.splits import split
from jaxssl.data.store import write
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.run.evaluation import evaluate_segmentation

FRACTIONS = (0.4, 0.3, 0.3)
PARTS = split([f"s{i}" for i in range(10)], FRACTIONS, seed=0)
METHOD = SimpleNamespace(
    parts=lambda params, carry: params,
    predict=lambda masks, batch: jax.nn.one_hot(masks[batch["id"]], 4),
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> tuple[Recipe, Source]:
    """Ten subjects, of whom the first to be tested has masks in ED alone."""
    records = (
        dataclasses.replace(each, mask=None if each.moment == "ES" and each.subject == PARTS.test[0] else each.mask)
        for each in samples.records(subjects=10, slices=2, phases=2)
    )
    path = tmp_path_factory.mktemp("stores") / "discs"
    write(records, path, name="discs", description="Discs (synthetic).", licence="none", classes=CINE_CLASSES)
    flags = {"data.store": str(path), "data.fractions": FRACTIONS, "data.layout.spacing": 1.5}
    recipe = config.override(load_recipe("segment:tiny"), flags)
    return recipe, open_source(recipe.data)


@pytest.mark.parametrize("on", ["test", "validation"])
def test_the_subjects_of_a_part_are_scored(opened, on):
    recipe, source = opened
    result, pictures = evaluate_segmentation(recipe, source, METHOD, jnp.asarray(source.cache.masks), on)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    expected = set(getattr(PARTS, on))
    assert {row["subject"] for row in result["subjects"]} == expected
    assert (result["n"], result["kind"]) == (len(expected), "segmentation")
    assert result["classes"] == ["RV", "MYO", "LV"]
    assert result["mean_dice"] == 1
    whole = expected - {PARTS.test[0]}
    assert {heart["subject"] for heart in result["hearts"]} == whole
    assert all(heart["edv"] == heart["edv_true"] > 0 for heart in result["hearts"])
    assert len(pictures["segmentation/image"]) > 0


def test_a_subject_counts_once_however_many_volumes_it_has(opened):
    """One with a single volume, all missed, and others with two, all found: a third, not a fifth, is wrong."""
    recipe, source = opened
    masks = np.array(source.cache.masks)
    names = np.array(source.cache.names["subject"])[source.cache.table["subject"]]
    masks[names == PARTS.test[0]] = 0
    result, _ = evaluate_segmentation(recipe, source, METHOD, jnp.asarray(masks), "test")
    assert len(result["subjects"]) == 5
    assert result["mean_dice"] == pytest.approx(2 / 3)
