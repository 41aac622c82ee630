"""Whole test sets explained, by explanations whose answer is known."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import samples
from evaluate.saliency import looker

from jaxssl.data.cache import open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.plan import ed_es_pairs, select
from jaxssl.data.store import write
from jaxssl.evaluate.saliency.explain import Explainer, compare_with_chance, image_rows, score_subjects
from jaxssl.evaluate.saliency.overlap import overlap

SIZE = (24, 20)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Three subjects, three slices; one subject's masks at ES are empty."""

    def records():
        for record in samples.records(subjects=3, slices=3, phases=2, size=SIZE):
            if record.subject == "s1" and record.moment == "ES" and record.mask is not None:
                record.mask[:] = 0
            yield record

    path = tmp_path_factory.mktemp("stores") / "discs"
    store = write(records(), path, name="discs", description="Discs (synthetic).", licence="none")
    return open_cache(store, Layout(SIZE, 1.5))


@pytest.fixture(scope="module")
def pairs(cache):
    return ed_es_pairs(cache, select(cache, ["s0", "s1", "s2"], ("sax",), ("ED", "ES")))


def explainer(cache, explain, *, variables=None, batch=4):
    """Of a network that finds class 2 in images of even rows, and class 0 in others."""

    def predict(variables, batch):
        del variables
        return jnp.where(batch["id"][:, None] % 2, jnp.array([1.0, 0, 0]), jnp.array([0, 0, 1.0]))

    method = replace(looker.convolutional(), predict=predict)
    return Explainer(explain, method, variables or {}, cache, masks=False, batch=batch)


def by_mask(maps):
    """An explanation that knows the maps [row, y, x] of all rows."""
    maps = jnp.asarray(maps)

    def explain(method, variables, batch, target):
        del method, variables, target
        return jnp.stack([maps[batch["id"]], maps[batch["partners"]["es"]["id"]]], axis=1)

    return explain


def test_scores_are_means_of_each_subjects_images(cache, pairs):
    maps = np.random.default_rng(0).normal(size=cache.masks.shape).astype(np.float32)
    maps[pairs.rows[0]] = 0
    found = score_subjects(explainer(cache, by_mask(maps)), pairs)
    assert json.loads(json.dumps(found.subjects)) == found.subjects
    # s1 has three images without a mask: they are left out, an empty map is not.
    assert [(row["subject"], row["images"]) for row in found.subjects] == [("s0", 6), ("s1", 3), ("s2", 6)]
    assert (found.images, found.empty, found.left_out) == (15, 1, 3)
    for row in found.subjects:
        own = [
            overlap(np.abs(maps[place]), cache.masks[place] > 0)
            for place in image_rows(pairs).ravel()
            if cache.names["subject"][cache.table["subject"][place]] == row["subject"] and cache.masks[place].any()
        ]
        wanted = dict(zip(("dice", "energy", "pointing", "share"), np.mean(own, axis=0), strict=True))
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)


def test_the_mask_itself_scores_one_and_is_shown(cache, pairs):
    found = score_subjects(explainer(cache, by_mask(-1.5 * (cache.masks > 0))), pairs)
    assert all(row["dice"] == row["energy"] == row["pointing"] == 1 for row in found.subjects)
    assert {name: stack.shape for name, stack in found.pictures.items()} == {
        f"saliency/{name}": (3, *SIZE) for name in ("image", "map", "mask")
    }
    np.testing.assert_array_equal(found.pictures["saliency/map"], found.pictures["saliency/mask"] > 0)
    assert found.pictures["saliency/mask"].any((1, 2)).all()


def test_the_class_explained_is_the_most_probable_one_of_the_trained_network(cache, pairs):
    asked = {}

    def explain(method, variables, batch, target):
        del method
        asked.update(zip(batch["id"].tolist(), target.tolist(), strict=True))
        return variables["map"] * jnp.ones((len(target), 2, *SIZE))

    explaining = explainer(cache, explain, variables={"map": jnp.float32(1), "encoder": {}})
    assert all((maps == 1).all() for maps in explaining.maps(pairs))
    assert all((maps == 3).all() for maps in explaining.maps(pairs, {"map": jnp.float32(-3)}))
    assert asked == {row: 0 if row % 2 else 2 for row in pairs.rows.tolist()}


def weighed(method, variables, batch, target):
    """A map that the weights make, and the image a little."""
    del method, target
    images = jnp.stack([batch["image"][..., 0], batch["partners"]["es"]["image"][..., 0]], 1)
    return variables["head"] + images / 2550


def edges(method, variables, batch, target):
    """A map that looks like the image, whatever was learnt: an edge detector."""
    del method, variables, target
    images = jnp.stack([batch["image"][..., 0], batch["partners"]["es"]["image"][..., 0]], 1).astype(jnp.float32)
    return jnp.abs(images - jnp.roll(images, 1, axis=-1))


def flat(method, variables, batch, target):
    del method, variables
    return jnp.ones((len(target), 2, *SIZE)) * batch["mean"][:, None, None, None]


def test_weights_drawn_anew_tell_a_learnt_map_from_an_edge_detector(cache, pairs):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    learnt = {"encoder": 0.0, "head": np.exp(-((y - 12) ** 2 + (x - 10) ** 2) / 20).astype(np.float32)}
    random = np.random.default_rng(0)
    drawn = [{"encoder": 0.0, "head": random.random(SIZE).astype(np.float32)} for _ in range(3)]

    def checked(explain):
        return compare_with_chance(explainer(cache, explain, variables=learnt), pairs, drawn)

    of_weights, of_edges, of_nothing = checked(weighed), checked(edges), checked(flat)
    assert of_weights["passed"] is True
    assert of_weights["all"] == pytest.approx(0, abs=0.2)
    assert (of_edges["passed"], of_edges["all"], of_edges["head"]) == (False, pytest.approx(1), pytest.approx(1))
    assert (of_nothing["passed"], of_nothing["all"], of_nothing["undefined"]) == (None, None, 3 * 18)
    assert (of_weights["draws"], of_weights["images"], of_weights["undefined"]) == (3, 18, 0)


def test_networks_that_give_the_map_and_its_inverse_do_not_cancel(cache, pairs):
    """Each is the learnt map or what is left of it: no draw is unlike it, though their correlations add up to 0."""
    map = np.random.default_rng(0).random(SIZE).astype(np.float32)

    def explain(method, variables, batch, target):
        del method
        return jnp.abs(variables["head"] - map) * jnp.ones((len(target), 2, 1, 1))

    drawn = [{"encoder": 0.0, "head": np.float32(side)} for side in (0, 1)]
    found = compare_with_chance(explainer(cache, explain, variables=drawn[0]), pairs, drawn)
    assert (found["all"], found["passed"]) == (pytest.approx(1), False)
