"""The box that hides the heart: where it lies, and that nothing of the heart's shape or motion passes it."""

from dataclasses import replace

import jax
import numpy as np
from methods import backbone
from methods.backbone import batch_of, keys_of, progress_at

from jaxssl.methods import classify, inputs
from jaxssl.methods.base import build
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet

N, (HEIGHT, WIDTH) = 40, backbone.SIZE


def sample_of(ed, es):
    """Images whose hearts are given."""
    batch = batch_of(len(ed), partners=("es", "subject"))
    batch["mask"], batch["partners"]["es"]["mask"] = (mask.astype(np.uint8) for mask in (ed, es))
    return batch


def few(seed):
    """Masks of few pixels, of many, or of none."""
    random = np.random.default_rng(seed)
    return random.random((N, HEIGHT, WIDTH)) < random.choice([0, 0.1, 0.4], (N, 1, 1))


def air_in(images, where):
    return np.where(where[..., None], images.min((1, 2), keepdims=True), images)


def in_units(batch):
    return (np.float32(batch["image"]) - batch["mean"][:, None, None, None]) / batch["std"][:, None, None, None]


def test_a_box_holds_the_masks_of_ed_and_es_and_no_line_more():
    ed, es = few(0), few(1)
    boxes = np.zeros_like(ed)
    for box, *pair in zip(boxes, ed, es, strict=True):
        y, x = np.nonzero(pair[0] | pair[1])
        if len(y):
            box[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    assert {0, HEIGHT * WIDTH} < set(boxes.sum((1, 2)).tolist())
    batch = sample_of(ed, es)
    for image in (batch, batch["partners"]["es"]):
        found = inputs.shown("box", image, batch)["image"]
        np.testing.assert_allclose(found, air_in(in_units(image), boxes), atol=1e-5)


def test_hearts_of_other_shape_and_motion_in_the_same_box_are_the_same_input():
    """In training and in the answer; the diagonals of a box touch its borders, and so does its frame."""
    frame, diagonal, other = (np.zeros((2, HEIGHT, WIDTH), bool) for _ in range(3))
    frame[:, 1:5, 1:4] = True
    frame[:, 2:4, 2] = False
    diagonal[:, [1, 2, 3, 4], [1, 2, 2, 3]] = True
    other[:, [1, 2, 3, 4], [3, 2, 2, 1]] = True
    nothing = np.zeros_like(frame)
    spec = replace(backbone.SPEC, labels=3, classes=2, partners=("es",))
    options = classify.Options(input="box", augment=backbone.STILL)
    method = build(options, UNet(widths=(4, 6), norm=Norm(group=2)), spec)
    assert method.predict is not None
    views, predict = jax.jit(method.views), jax.jit(method.predict)
    hearts = [(frame, nothing), (nothing, frame), (diagonal, other), (frame, diagonal)]
    shown = [views(keys_of(2), sample_of(*pair), progress_at(0)) for pair in hearts]
    variables = method.parts(*method.init(jax.random.key(1), shown[0]))
    answers = [predict(variables, sample_of(*pair)) for pair in hearts]
    for view, answer in zip(shown[1:], answers[1:], strict=True):
        np.testing.assert_array_equal(view, shown[0])
        np.testing.assert_array_equal(answer, answers[0])
    # What lies outside the box is seen as before, in ED and in ES.
    elsewhere = views(keys_of(2), sample_of(nothing, nothing), progress_at(0))
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[1:5, 1:4] = True
    np.testing.assert_array_equal(shown[0][:, :, ~box], elsewhere[:, :, ~box])
    assert np.abs(shown[0] - elsewhere).max() > 0.1


def test_what_lies_in_the_box_changes_nothing():
    whole = np.ones((2, HEIGHT, WIDTH), bool)
    heart = whole & (np.arange(HEIGHT) > 2)[:, None]
    batch = sample_of(heart, heart)
    batch["image"][:, 0, 0] = 0
    before = inputs.shown("box", batch, batch)["image"]
    batch["image"] = np.where(heart[..., None], batch["image"] + np.uint16(7), batch["image"])
    np.testing.assert_array_equal(inputs.shown("box", batch, batch)["image"], before)


def test_the_other_subjects_heart_is_not_asked():
    nobody = np.zeros((2, HEIGHT, WIDTH), bool)
    batch = sample_of(nobody, nobody)
    assert batch["partners"]["subject"]["mask"].any()
    np.testing.assert_allclose(inputs.shown("box", batch, batch)["image"], in_units(batch), atol=1e-5)
