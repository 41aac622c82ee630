"""Segmentation scored in the original grid, by predictors whose answer is known."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import samples
from sklearn.metrics import f1_score

from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.record import CINE_CLASSES
from jaxssl.data.store import Store, write
from jaxssl.errors import UserError
from jaxssl.evaluate.metrics import border_distances
from jaxssl.evaluate.segment import segment_subjects

HEART = {"views": ("sax",), "moments": ("ED", "ES"), "batch": 5}


def stored(path, records, classes=CINE_CLASSES) -> Store:
    about = {"description": "Random pixels and discs (synthetic).", "licence": "none"}
    return write(records, path, name="discs", classes=classes, **about)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three subjects of three sizes, even and odd; discs that neither the images nor the cache cut."""
    records = samples.records(subjects=3, slices=4, phases=3, size=(70, 61))
    return stored(tmp_path_factory.mktemp("stores") / "discs", records)


@pytest.fixture(scope="module")
def cache(store: Store) -> Cache:
    """Of the images' own spacing, larger than some and smaller than others."""
    return open_cache(store, Layout((72, 60), 1.5))


def answering(masks):
    """A predictor that knows masks [row, y, x] by heart."""
    masks = jnp.asarray(masks)
    return jax.jit(lambda batch: jax.nn.one_hot(masks[batch["id"]], 4))


def independent(store, subject, moment, predicted):
    """Dice over the stack by scikit-learn, of `predicted(record)` and the truth in the original grid."""
    stack = [each for each in store.records() if (each.subject, each.view, each.moment) == (subject, "sax", moment)]
    truth, prediction = (
        np.concatenate([x.ravel() for x in xs])
        for xs in ([each.mask for each in stack], [predicted(each) for each in stack])
    )
    return f1_score(truth, prediction, labels=[1, 2, 3], average=None, zero_division=1.0)


def test_the_truth_scores_exactly_one_where_the_spacing_is_the_images_own(store, cache):
    found = segment_subjects(answering(cache.masks), store, cache, ["s0", "s1", "s2"], **HEART).scores
    volumes = [(row["subject"], row["study"], row["view"], row["moment"]) for row in found]
    assert volumes == [(f"s{i}", f"s{i}-a", "sax", moment) for i in range(3) for moment in ("ED", "ES")]
    assert [row["dice"] for row in found] == [[1.0, 1.0, 1.0]] * 6
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("spacing", "least"), [(1.1, 0.98), (1.7, 0.95), (1.9, 0.92)])
def test_the_resampled_truth_scores_nearly_one(store, spacing, least):
    """What a grid can hold at best: the rings are 6 pixels wide, and a coarser grid blunts them."""
    cache = open_cache(store, Layout((96, 96), spacing))
    found = segment_subjects(answering(cache.masks), store, cache, ["s0", "s1", "s2"], **HEART).scores
    values = np.array([row["dice"] for row in found])
    assert least < values.min() < 1


def test_pixels_that_are_not_square_go_back_to_their_place(tmp_path):
    """An axis mixed up anywhere on the way there and back would tear these ellipses from the truth."""
    records = (
        dataclasses.replace(each, plane=samples.plane(*each.image.shape[:2], spacing=(1.2, 2.0)))
        for each in samples.records(subjects=2, slices=2, phases=2, size=(90, 61))
    )
    store = stored(tmp_path / "discs", records)
    cache = open_cache(store, Layout((100, 112), 1.3))
    found = segment_subjects(answering(cache.masks), store, cache, ["s0", "s1"], **HEART).scores
    assert min(min(row["dice"]) for row in found) > 0.95


@pytest.mark.parametrize("shift", [(3, 0), (-2, 5)])
def test_a_shifted_prediction_gets_the_dice_of_that_shift(store, cache, shift):
    found = segment_subjects(
        answering(np.roll(cache.masks, shift, (1, 2))), store, cache, ["s0", "s1", "s2"], **HEART
    ).scores
    for row in found:
        expected = independent(store, row["subject"], row["moment"], lambda each: np.roll(each.mask, shift, (0, 1)))
        assert expected.max() < 0.95
        np.testing.assert_allclose(row["dice"], expected)


def test_what_the_cached_grid_cuts_off_is_missed(store):
    """The middle 20 x 22 pixels can be right at best; the rest of the truth counts against the prediction."""
    cache = open_cache(store, Layout((20, 22), 1.5))

    def cut(record):
        kept, (height, width) = np.zeros_like(record.mask), record.mask.shape
        top, left = (height - 20) // 2, (width - 22) // 2
        kept[top : top + 20, left : left + 22] = record.mask[top : top + 20, left : left + 22]
        return kept

    for row in segment_subjects(answering(cache.masks), store, cache, ["s1", "s2"], **HEART).scores:
        expected = independent(store, row["subject"], row["moment"], cut)
        assert expected[0] < 0.5
        np.testing.assert_allclose(row["dice"], expected)


def test_one_bad_slice_lowers_its_own_volume_only(store, cache):
    masks = np.array(cache.masks)
    bad = next(
        i for i, each in enumerate(store.records()) if (each.subject, each.slice, each.moment) == ("s1", 2, "ES")
    )
    masks[bad] = 0
    found = segment_subjects(answering(masks), store, cache, ["s0", "s1", "s2"], **HEART).scores
    for row in found:
        worse = (row["subject"], row["moment"]) == ("s1", "ES")
        # Three of four equal slices: 2 x 3 / (3 + 4).
        np.testing.assert_allclose(row["dice"], [6 / 7] * 3 if worse else [1.0] * 3)


def test_a_class_that_is_nowhere_scores_one_unless_it_is_predicted(tmp_path):
    records = (
        dataclasses.replace(each, mask=None if each.mask is None else np.where(each.mask == 3, 0, each.mask))
        for each in samples.records(subjects=1, slices=2, phases=2)
    )
    store = stored(tmp_path / "rings", records)
    cache = open_cache(store, Layout((24, 24), 1.5))
    right = segment_subjects(answering(cache.masks), store, cache, ["s0"], **HEART).scores
    nothing = segment_subjects(answering(np.zeros_like(cache.masks)), store, cache, ["s0"], **HEART).scores
    invented = np.array(cache.masks)
    invented[:, 0, 0] = 0
    invented[:, 12, 12] = 3
    false_alarm = segment_subjects(answering(invented), store, cache, ["s0"], **HEART).scores
    assert [row["dice"] for row in right] == [[1.0, 1.0, 1.0]] * 2
    assert [row["dice"] for row in nothing] == [[0.0, 0.0, 1.0]] * 2
    assert [row["dice"] for row in false_alarm] == [[1.0, 1.0, 0.0]] * 2


def test_volumes_come_from_the_steps_between_planes_and_hearts_from_volumes(store, cache):
    found = segment_subjects(answering(cache.masks), store, cache, ["s0", "s1"], **HEART)
    for row in found.scores:
        own = [each for each in store.records() if (each.subject, each.moment) == (row["subject"], row["moment"])]
        areas = [sum(np.count_nonzero(each.mask == code) for each in own) * 1.5**2 for code in (1, 2, 3)]
        np.testing.assert_allclose(row["volume"], np.array(areas) * 8 / 1000)
        assert row["volume_true"] == row["volume"]
        assert [each["position"] for each in row["slices"]] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    _, _, edv = found.scores[0]["volume"]
    assert [(heart["subject"], heart["study"]) for heart in found.hearts] == [("s0", "s0-a"), ("s1", "s1-a")]
    assert (found.hearts[0]["edv"], found.hearts[0]["ef"], found.hearts[0]["ef_true"]) == (edv, 0, 0)
    assert json.loads(json.dumps(found.hearts)) == found.hearts


def test_a_beat_is_shown_in_the_order_of_time(store, cache):
    found = segment_subjects(answering(cache.masks), store, cache, ["s1"], **HEART).pictures
    (rows,) = np.nonzero([each.subject == "s1" and each.slice == 2 for each in store.records()])
    assert [store.record(int(row)).phase for row in rows] == list(range(len(rows)))
    np.testing.assert_array_equal(found["cine/prediction"], np.asarray(cache.masks)[rows])
    assert found["cine/image"].shape == found["cine/prediction"].shape


def test_distances_are_in_the_mm_of_the_images_own_grid(tmp_path):
    """In pixels that are not square, over a stack of 8 mm."""
    records = (
        dataclasses.replace(each, plane=samples.plane(*each.image.shape[:2], (1.2, 2.0), 8.0 * each.slice))
        for each in samples.records(subjects=1, slices=3, phases=2, size=(48, 41))
    )
    store = stored(tmp_path / "discs", records)
    cache = open_cache(store, Layout((48, 42), None))
    for shift in ((3, 0), (0, 2)):
        (row, _) = segment_subjects(
            answering(np.roll(cache.masks, shift, (1, 2))), store, cache, ["s0"], **HEART
        ).scores
        truth = np.stack([each.mask for each in store.records() if (each.view, each.moment) == ("sax", "ED")])
        for code in (1, 2, 3):
            expected = border_distances(np.roll(truth, shift, (1, 2)) == code, truth == code, (8.0, 1.2, 2.0))
            assert (row["hd95"][code - 1], row["assd"][code - 1]) == pytest.approx(expected)


def test_frames_of_no_moment_are_volumes_of_their_own(tmp_path):
    records = (
        dataclasses.replace(each, moment="", mask=np.minimum(samples.disc(*each.image.shape[:2]), 1))
        for each in samples.records(subjects=2, slices=1, phases=3)
        if each.view == "4ch"
    )
    store = stored(tmp_path / "heads", records, classes=("background", "head"))
    cache = open_cache(store, Layout((24, 24), None))
    found = segment_subjects(answering(cache.masks), store, cache, ["s0", "s1"], views=("4ch",), moments=[""], batch=4)
    assert [row["subject"] for row in found.scores] == ["s0"] * 3 + ["s1"] * 3
    for row in found.scores:
        assert (row["dice"], row["hd95"], row["volume"], len(row["slices"])) == ([1], [0], [None], 1)
        assert row["circumference"] == row["circumference_true"] > 0
    assert found.hearts == []


def test_logits_are_as_good_as_probabilities(store, cache):
    masks = jnp.asarray(np.roll(cache.masks, 2, 1))
    logits = jax.jit(lambda batch: 20 * jax.nn.one_hot(masks[batch["id"]], 4) - 3)
    expected = segment_subjects(answering(masks), store, cache, ["s0", "s2"], **HEART).scores
    assert segment_subjects(logits, store, cache, ["s0", "s2"], **HEART).scores == expected


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_size_of_a_batch_changes_nothing(store, cache, batch):
    predict = answering(np.roll(cache.masks, 1, 2))
    expected = segment_subjects(predict, store, cache, ["s0", "s1", "s2"], **HEART)
    found = segment_subjects(predict, store, cache, ["s0", "s1", "s2"], **{**HEART, "batch": batch})
    assert found.scores == expected.scores
    for name, picture in expected.pictures.items():
        np.testing.assert_array_equal(found.pictures[name], picture)


def test_predictions_are_made_without_the_masks(store, cache):
    def watched(batch):
        assert "mask" not in batch
        np.testing.assert_array_equal(batch["image"], cache.images[batch["id"]])
        return answering(cache.masks)(batch)

    assert segment_subjects(watched, store, cache, ["s1"], **HEART).scores


def test_pictures_are_a_basal_a_mid_and_an_apical_slice_of_each_of_the_first_subjects(store, cache):
    predicted = np.roll(cache.masks, 2, 1)
    pictures = segment_subjects(answering(predicted), store, cache, ["s2", "s0", "s1"], **HEART).pictures
    rows = [
        i
        for i, each in enumerate(store.records())
        if (each.view, each.moment) == ("sax", "ED") and each.slice in (0, 2, 3)
    ]
    assert len(rows) == 9
    np.testing.assert_array_equal(pictures["segmentation/truth"], cache.masks[rows])
    np.testing.assert_array_equal(pictures["segmentation/prediction"], predicted[rows])
    images = cache.images[rows][..., 0].astype(float)
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    np.testing.assert_allclose(pictures["segmentation/image"], (images - low) / (high - low), atol=1e-6)
    assert {name: picture.dtype.name for name, picture in pictures.items()} == {
        "segmentation/image": "float32",
        "segmentation/truth": "uint8",
        "segmentation/prediction": "uint8",
        "cine/image": "float32",
        "cine/prediction": "uint8",
    }


def test_the_beat_is_the_middle_slice_of_the_first_subject_in_all_its_frames(store, cache):
    predicted = np.roll(cache.masks, 2, 1)
    pictures = segment_subjects(answering(predicted), store, cache, ["s2", "s0", "s1"], **HEART).pictures
    rows = {
        each.phase: i
        for i, each in enumerate(store.records())
        if (each.subject, each.view, each.slice) == ("s0", "sax", 2)
    }
    in_time = [rows[phase] for phase in sorted(rows)]
    assert len(in_time) == 3
    np.testing.assert_array_equal(pictures["cine/prediction"], predicted[in_time])
    images = cache.images[in_time][..., 0].astype(float)
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    np.testing.assert_allclose(pictures["cine/image"], (images - low) / (high - low), atol=1e-6)


def test_subjects_without_true_masks_are_refused(store, cache):
    with pytest.raises(UserError, match="masked True"):
        segment_subjects(answering(cache.masks), store, cache, ["s0"], **{**HEART, "views": ("4ch",)})
