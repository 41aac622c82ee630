"""Imaging planes: the lines are where they are seen, they move with the image, and each task can be left out."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxssl import config, recipe
from jaxssl.augment.options import Augment
from jaxssl.data.phantom.cine import CineOptions, cine_subject
from jaxssl.data.record import Record
from jaxssl.errors import UserError
from jaxssl.geometry import Plane, normal, patient_point, pixel
from jaxssl.methods import parts
from jaxssl.methods.base import build
from jaxssl.objectives import heatmap_loss, line_heatmaps, location_loss
from jaxssl.train.keys import sample_keys
from jaxssl.train.step import Schedule

START = Schedule(steps=10, steps_per_epoch=4).progress(jnp.zeros((), jnp.int32))
CALM = {"noise": 0.0, "blur": 0.0, "contrast": (1.0, 1.0), "brightness": 0.0, "gamma": (1.0, 1.0)}
STILL = Augment(translation=0.0, rotation=0.0, scale=(1.0, 1.0), flip=0.0, **CALM)
BATCH = 8


def keys():
    return sample_keys(3, "views", START.step, jnp.arange(BATCH))


def views_of(method, batch):
    return jax.jit(lambda batch: method.views(keys(), batch, START))(batch)


def case_of(size=(16, 12), **options) -> recipe.Recipe:
    case = recipe.load_recipe("planes:tiny")
    layout = replace(case.data.layout, size=size)
    return replace(case, method=replace(case.method, **options), data=replace(case.data, layout=layout))


def seen_of(case: recipe.Recipe):
    """Method, params and carry, batch, and what `forward` sees of it."""
    method, batch = cases.method_of(case), cases.batch_of(case, BATCH)
    views = views_of(method, batch)
    params, carry = jax.jit(method.init)(jax.random.key(0), views)
    seen = jax.jit(lambda *given: method.forward(*given, keys(), START))(params, carry, views)
    return method, params, carry, batch, views, seen


def test_the_line_is_where_the_other_view_is_seen():
    """On a synthetic heart: two images agree along the line of the map better than along its neighbours."""
    records = cine_subject(CineOptions(phases=1), 3)
    asides = np.array([-10.0, -5.0, 0.0, 5.0, 10.0])
    agreement = []
    for host in [record for record in records if record.view == "sax"][2:7]:
        for guest in [record for record in records if record.view in ("2ch", "4ch")]:
            own, other = (on_device(record.plane) for record in (host, guest))
            others = jax.tree.map(lambda leaf: leaf[None], other)
            maps, _ = line_heatmaps(own, others, jnp.array([True]), 1.0, jnp.eye(2, 3), host.image.shape[:2])
            y, x = np.nonzero(np.asarray(maps)[..., 0] > 0.97)
            line = patient_point(host.plane, y, x)
            assert np.abs(pixel(guest.plane, line)[2]).max() < 0.3
            truth = looked_up(guest, line)
            shifted = [looked_up(host, line + aside * normal(guest.plane)) for aside in asides]
            known = np.isfinite([truth, *shifted]).all(axis=0)
            agreement.append([np.corrcoef(truth[known], values[known])[0, 1] for values in shifted])
    assert asides[np.argmax(np.mean(agreement, axis=0))] == 0
    assert np.mean(agreement, axis=0)[2] > 0.9


def on_device(plane: Plane) -> Plane:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), plane)


def looked_up(record: Record, where: np.ndarray) -> np.ndarray:
    """Intensities of the pixels nearest to patient points, nan beyond the image."""
    y, x, _ = pixel(record.plane, where)
    return ndimage.map_coordinates(record.image[..., 0].astype(float), (y, x), order=0, cval=np.nan)


@pytest.mark.parametrize("options", [Augment(**CALM), replace(Augment.study_a(), contrast=(1.0, 1.0))])
def test_the_target_moves_with_the_view(options):
    """The image is its own target: what `views` does to it, it does to the lines."""
    size = (48, 36)
    still, moving = (cases.method_of(case_of(size, sigma=9.0, augment=augment)) for augment in (STILL, options))
    batch = cases.batch_of(case_of(size), BATCH)
    batch["guests"]["valid"][:] = True
    middle = batch["plane"]["origin"] + 24 * 1.5 * batch["plane"]["y_axis"] + 18 * 1.25 * batch["plane"]["x_axis"]
    batch["guests"]["origin"][:] = middle[:, None]
    drawn = views_of(still, batch)
    batch["image"] = np.round(10000 * np.asarray(drawn["lines"])[..., :1]).astype(np.uint16)
    # Within this frame every pixel of a view is a mean of the image's, without the air beyond its edge.
    batch["mask"] = np.pad(np.ones((BATCH, 46, 34), np.uint8), ((0, 0), (1, 1), (1, 1)))
    batch["mean"], batch["std"] = np.zeros(BATCH, np.float32), np.full(BATCH, 10000, np.float32)
    views = views_of(moving, batch)
    _, inside = parts.view(keys(), 0, batch, options)
    compared = 0
    for image, lines, valid, known in zip(views["image"], views["lines"], views["valid"], inside, strict=True):
        if valid[0]:
            np.testing.assert_allclose(image[..., 0][known > 0], lines[..., 0][known > 0], atol=0.03)
            compared += int(np.count_nonzero(lines[..., 0][known > 0] > 0.5))
    assert compared > 500
    assert np.abs(views["lines"] - drawn["lines"]).mean() > 0.05


def test_intensities_above_255_do_not_wrap():
    method, batch = cases.method_of(case_of(augment=STILL)), cases.batch_of(case_of(), BATCH)
    wrapped = {**batch, "image": batch["image"] % 256}
    images = [np.asarray(views_of(method, given)["image"]) for given in (batch, wrapped)]
    np.testing.assert_allclose(images[0], (batch["image"] - 900.0) / 400, rtol=1e-5, atol=1e-5)
    assert np.abs(images[0] - images[1]).mean() > 1


def test_the_width_is_fixed_or_that_of_the_guest():
    batch = cases.batch_of(case_of(), BATCH)
    batch["guests"]["thickness"][:, 1] = 20.0
    fixed, scaled = (
        np.asarray(views_of(cases.method_of(case_of(augment=STILL, sigma=sigma)), batch)["lines"])
        for sigma in (3.0, None)
    )
    np.testing.assert_allclose(scaled[..., 0], fixed[..., 0], atol=1e-6)
    near = fixed[..., 1] > 1e-30
    np.testing.assert_allclose(scaled[..., 1][near], fixed[..., 1][near] ** 0.09, atol=1e-5)


@pytest.mark.parametrize(("lines", "location"), [(1.0, 1.0), (0.5, 3.0), (2.0, 0.0), (0.0, 2.0)])
def test_the_loss_is_the_weighted_sum_and_a_task_of_no_weight_is_left_out(lines, location):
    method, params, carry, batch, views, seen = seen_of(case_of(lines=lines, location=location))
    loss, statistics = method.objective(params, carry, seen, batch, START)
    expected = 0.0
    if lines:
        expected += lines * heatmap_loss(seen.outputs["lines"], views["lines"], views["valid"])
    if location:
        expected += location * location_loss(seen.outputs["location"], batch["position"])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert float(loss) > 0
    wanted = {"encoder"} | ({"decoder", "head"} if lines else set()) | ({"location"} if location else set())
    assert set(params) == set(method.parts(params, carry)) == wanted
    assert ("lines" in views) == bool(lines)
    known = {name: float(value) for name, value in statistics["monitor"].items()}
    assert known.get("lines_seen", 0.5) == known.get("locations_known", 0.5) == 0.5


def test_without_targets_nothing_is_learnt():
    """No guest, no known position: the loss is 0 and so is its gradient in every parameter."""
    method, params, carry, batch, _, _ = seen_of(case_of())
    batch["guests"]["valid"][:], batch["position"][:] = False, np.nan
    views = views_of(method, batch)

    @jax.jit
    def loss_of(params):
        return method.objective(params, carry, method.forward(params, carry, views, keys(), START), batch, START)[0]

    loss, gradient = jax.value_and_grad(loss_of)(params)
    assert loss == 0
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))


def test_both_tasks_reach_the_encoder():
    for lines, location in ((1.0, 0.0), (0.0, 1.0)):
        method, params, carry, batch, views, _ = seen_of(case_of(lines=lines, location=location))

        def loss_of(params, method=method, carry=carry, batch=batch, views=views):
            return method.objective(params, carry, method.forward(params, carry, views, keys(), START), batch, START)[0]

        gradient = jax.jit(jax.grad(loss_of))(params)
        assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient["encoder"]) if leaf.ndim > 1)


def test_pictures_show_the_lines_that_count():
    method, _, _, _, views, seen = seen_of(case_of())
    shown = method.pictures(views, seen)
    assert set(shown) == {"views/image", "views/lines", "views/lines predicted"}
    for picture in shown.values():
        assert picture.shape == (BATCH, 16, 12)
        assert 0 <= picture.min() <= picture.max() <= 1
    assert not shown["views/lines"][: BATCH // 2].any()
    assert not shown["views/lines predicted"][: BATCH // 2].any()
    np.testing.assert_allclose(shown["views/lines"], np.asarray(views["lines"]).max(-1), atol=1e-6)


@pytest.mark.parametrize("variant", ["study_c", "small", "knee", "tiny"])
def test_recipes_can_be_built(variant):
    case = recipe.load_recipe(f"planes:{variant}")
    config.check(case)
    assert case.data.guests == (() if variant == "knee" else ("2ch", "4ch"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.guests": ()}, "data.guests"),
        ({"method.lines": 0.0, "method.location": 0.0}, "no task"),
        ({"method.lines": -1.0}, "method.lines"),
        ({"method.location": float("nan")}, "method.location"),
        ({"method.sigma": 0.0}, "method.sigma"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        config.check(recipe.load_recipe("planes:tiny", changes))


def test_without_lines_no_guests_are_needed():
    case = recipe.load_recipe("planes:tiny", {"method.lines": 0.0, "data.guests": ()})
    batch = {name: value for name, value in cases.batch_of(case, BATCH).items() if name not in ("guests", "plane")}
    views = views_of(build(case.method, case.model, case.spec()), batch)
    assert set(views) == {"image"}
