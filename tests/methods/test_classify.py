"""Classification against its formula in numpy, what is frozen, what is shown, and the two steps of an answer."""

from dataclasses import replace

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from methods import backbone
from methods.backbone import Backbone, batch_of, encoded, keys_of, progress_at

from jaxssl.errors import UserError
from jaxssl.methods import classify
from jaxssl.methods.base import build
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step

SIZE, CLASSES = 8, 3
SPEC = replace(backbone.SPEC, labels=CLASSES, partners=("es",), label_counts=(1, 4, 0))
PLAIN = classify.Options(pool="embedding", augment=backbone.STILL)
UNET = UNet(widths=(4, 6), norm=Norm(group=4))


def labelled(partners=("es",)):
    return {**batch_of(SIZE, partners=partners), "label": np.array([0, 1, -1, 1, 0, -1, 1, 1], np.int32)}


def begun(options=PLAIN, model=None, spec=SPEC, batch=None):
    method, batch = build(options, model or Backbone(), spec), labelled() if batch is None else batch
    views = made(method, batch)
    params, carry = jax.jit(method.init)(jax.random.key(1), views)
    return method, batch, views, backbone.shaken(params), carry


def made(method, batch):
    return jax.jit(method.views)(keys_of(SIZE), batch, progress_at(0))


def loss_of(method, batch, views, carry):
    @jax.jit
    def loss(params):
        seen = method.forward(params, carry, views, keys_of(SIZE), progress_at(0))
        return method.objective(params, carry, seen, {"label": jnp.asarray(batch["label"])}, progress_at(0))

    return loss


def test_loss_and_gradients_are_those_of_the_formula():
    """sum_i w_y (-log softmax(W [f(ed), f(es)] + b)_y) / sum_i w_y, with both images in one group of normalisation."""
    method, batch, views, params, carry = begun()
    pixels = [each["image"].astype(float) for each in (batch, batch["partners"]["es"])]
    scale = [(each["mean"], each["std"]) for each in (batch, batch["partners"]["es"])]
    images = [(x - m[:, None, None, None]) / s[:, None, None, None] for x, (m, s) in zip(pixels, scale, strict=True)]
    np.testing.assert_allclose(views, np.stack(images, 1), rtol=1e-4, atol=1e-4)

    rows = np.stack(images, 1).reshape(2 * SIZE, *backbone.SIZE, 1)
    features = encoded(params["encoder"], rows, 2 * 4).reshape(SIZE, -1)
    head = params["head"]["layer0"]
    logits = features @ np.float64(head["kernel"]) + np.float64(head["bias"])
    log_p = logits - logits.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    known = batch["label"] >= 0
    # Counts 1, 4, 0: n / (k n_c) with n = 5 of k = 2 classes.
    weight = np.where(known, np.array([2.5, 0.625, 0.0])[batch["label"]], 0)
    losses = -log_p[np.arange(SIZE), batch["label"]]
    (loss, statistics), gradient = jax.value_and_grad(loss_of(method, batch, views, carry), has_aux=True)(params)
    assert float(loss) == pytest.approx((weight * losses).sum() / weight.sum(), rel=1e-4)

    pull = weight[:, None] / weight.sum() * (np.exp(log_p) - np.eye(CLASSES)[batch["label"]])
    np.testing.assert_allclose(gradient["head"]["layer0"]["kernel"], features.T @ pull, atol=1e-5)
    np.testing.assert_allclose(gradient["head"]["layer0"]["bias"], pull.sum(0), atol=1e-6)
    right = (logits.argmax(1) == batch["label"])[known]
    assert float(statistics["monitor"]["accuracy"]) == pytest.approx(right.mean())
    assert float(statistics["monitor"]["labelled"]) == known.mean()


def test_the_encoders_gradient_is_that_of_the_plain_network():
    """By differences along a random direction, through the normalisation that ED and ES share."""
    with jax.enable_x64(True):
        spec = replace(SPEC, dtype=jnp.float64)
        wide = jax.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, labelled())
        method, batch, views, params, carry = begun(spec=spec, batch=wide)
        loss = jax.jit(lambda params: loss_of(method, batch, views, carry)(params)[0])
        gradient = jax.grad(loss)(params)["encoder"]
        way = backbone.shaken(params["encoder"], seed=5)

        def along(step):
            moved = jax.tree.map(lambda p, d: p + step * d, params["encoder"], way)
            return float(loss({**params, "encoder": moved}))

        expected = (along(1e-5) - along(-1e-5)) / 2e-5
        found = sum(float((a * b).sum()) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
        assert abs(found) > 1e-3
        assert found == pytest.approx(expected, rel=1e-6)


def test_without_class_weights_and_without_counts_all_classes_are_alike():
    alike = replace(SPEC, label_counts=(7, 7, 7))
    losses = [
        float(loss_of(method, batch, views, carry)(params)[0])
        for method, batch, views, params, carry in (
            begun(replace(PLAIN, class_weights=False)), begun(spec=alike), begun(spec=replace(SPEC, label_counts=())),
        )
    ]  # fmt: skip
    assert losses[0] == pytest.approx(losses[1]) == pytest.approx(losses[2])
    method, batch, views, params, carry = begun()
    assert abs(float(loss_of(method, batch, views, carry)(params)[0]) - losses[0]) > 1e-3


def test_a_view_changes_ed_and_es_alike():
    batch = labelled()
    batch["partners"] = {"es": {name: x for name, x in batch.items() if name != "partners"}}
    views = made(build(classify.Options(), UNET, SPEC), batch)
    np.testing.assert_array_equal(views[:, 0], views[:, 1])
    assert np.abs(views[:, 0] - views[:1, 0]).max() > 0.1


def test_an_answer_is_the_softmax_of_its_two_steps_and_sees_image_and_partner_in_their_order():
    method, batch, _, params, carry = begun(classify.Options(), UNET)
    variables = method.parts(params, carry)
    assert method.maps is not None
    assert method.logits is not None
    assert method.predict is not None
    see, answer = jax.jit(method.maps), jax.jit(method.logits)
    maps = see(variables, batch)
    assert maps.shape == (SIZE, 2, 3, 2, 6)
    np.testing.assert_allclose(
        jax.jit(method.predict)(variables, batch), jax.nn.softmax(answer(variables, maps)), rtol=1e-5, atol=1e-6
    )
    swapped = {**batch["partners"]["es"], "partners": {"es": batch}}
    np.testing.assert_allclose(see(variables, swapped), maps[:, ::-1], rtol=1e-5, atol=1e-5)
    kernel, bias = (np.float64(params["head"]["layer0"][name]) for name in ("kernel", "bias"))
    pooled = np.float64(maps).mean((2, 3)).reshape(SIZE, -1)
    np.testing.assert_allclose(answer(variables, maps), pooled @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_a_network_in_half_precision_keeps_its_logits_apart():
    """Patients whose logits differ by less than bfloat16 can tell must not tie in an AUROC."""
    method, _, _, params, carry = begun(classify.Options(), UNET, replace(SPEC, dtype=jnp.bfloat16))
    assert method.logits is not None
    maps = np.random.default_rng(0).normal(1, 1, (200, 2, 3, 2, 6)).astype(np.float32)
    found = method.logits(method.parts(params, carry), jnp.asarray(maps))
    kernel, bias = (np.float64(params["head"]["layer0"][name]) for name in ("kernel", "bias"))
    np.testing.assert_allclose(found, np.float64(maps).mean((2, 3)).reshape(200, -1) @ kernel + bias, atol=1e-5)


def test_an_embedding_has_no_map_to_explain_it_by():
    method, batch, _, params, carry = begun()
    assert method.maps is None
    assert method.logits is None
    assert method.predict is not None
    found = method.predict(method.parts(params, carry), batch)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-3


def test_a_frozen_encoder_keeps_every_bit_and_the_head_learns():
    batch = {**labelled(), "place": np.arange(SIZE, dtype=np.int32)}
    method = build(classify.Options(freeze_encoder=True), UNET, SPEC)
    optimiser, mesh, plan = optax.adamw(1e-2, weight_decay=0.1), make_mesh(jax.devices()[:1]), Schedule(10, 5)
    views = made(method, batch)
    abstract = abstract_state(method, optimiser, 0, views, mesh)
    state = create_state(method, optimiser, 0, views, abstract)
    before = jax.device_get(state)
    step = make_step(method, optimiser, lambda _: 1e-2, plan, mesh)
    for _ in range(3):
        state, log = step(state, put_batch(mesh, batch))
    after = jax.device_get(state)
    jax.tree.map(np.testing.assert_array_equal, before.params["encoder"], after.params["encoder"])
    jax.tree.map(np.testing.assert_array_equal, before.carry, after.carry)
    assert np.abs(before.params["head"]["layer0"]["kernel"] - after.params["head"]["layer0"]["kernel"]).max() > 1e-3
    assert np.isfinite(log["loss"])


def test_hearts_and_swapped_ones_are_shown_and_swapped_predicts_from_the_whole():
    spec = replace(SPEC, classes=2, partners=("es", "subject"))
    batch = labelled(("es", "subject"))
    views, answers = {}, {}
    for style in ("full", "heart", "swapped"):
        options = classify.Options(input=style, augment=backbone.STILL)
        method, _, views[style], params, carry = begun(options, UNET, spec, batch)
        assert method.predict is not None
        answers[style] = jax.jit(method.predict)(method.parts(params, carry), batch)
    inside = np.stack([batch["mask"], batch["partners"]["es"]["mask"]], axis=1)[..., None] > 0
    full = np.float64(views["full"])
    air = full.min((2, 3), keepdims=True)
    np.testing.assert_allclose(views["heart"], np.where(inside, full, air), atol=1e-4)
    np.testing.assert_allclose(np.where(inside, views["swapped"], 0), np.where(inside, full, 0), atol=1e-4)
    assert np.abs(np.where(inside, 0, views["swapped"] - full)).max() > 0.1
    np.testing.assert_array_equal(answers["swapped"], answers["full"])
    assert np.abs(answers["heart"] - answers["full"]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "spec", "sentence"),
    [
        (PLAIN, replace(SPEC, labels=0), "Classification learns from a label; set data.label"),
        (PLAIN, replace(SPEC, partners=("phase",)), "leave phase out of data.partners"),
        (replace(PLAIN, input="heart"), SPEC, "made from masks of the heart"),
        (replace(PLAIN, input="swapped"), replace(SPEC, classes=2), "add subject to data.partners"),
    ],
)
def test_what_it_cannot_learn_from_is_refused(options, spec, sentence):
    with pytest.raises(UserError, match=sentence):
        build(options, Backbone(), spec)


def test_descent_tells_two_classes_apart():
    method, batch, views, params, carry = begun(replace(PLAIN, class_weights=False))
    first, last, _ = backbone.descended(
        lambda params: loss_of(method, batch, views, carry)(params)[0], params, rate=0.2, steps=150
    )
    assert last < 0.1 * first


def test_the_recipes_take_over_the_encoders_of_the_studies():
    from jaxssl.recipe import load_recipe

    for tuned, pretrained in (
        ("classify", "simclr:study_a"), ("classify:study_a_vgg", "simclr:study_a_vgg"), ("classify:study_d", "awcl"),
        ("classify:small", "mim:small"),
    ):  # fmt: skip
        before, after = load_recipe(pretrained).model, load_recipe(tuned).model
        assert replace(before, norm=after.norm, **({"representation": ()} if "study_a" in pretrained else {})) == after
    assert cases.tiny("classify").data.kinds == ("es",)
