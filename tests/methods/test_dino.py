"""DINO: what its teacher is and sees, what is frozen, what its options mean, and how a collapse would show.

The first four tests are faults of the published code of study B that are not to be repeated.
"""

import re
from dataclasses import replace
from functools import cache, partial

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxssl
from jaxssl.errors import UserError
from jaxssl.methods import dino, parts, teacher
from jaxssl.methods.base import Progress, Seen, metadata
from jaxssl.models.vit import ViT
from jaxssl.recipe import load_recipe
from jaxssl.train.keys import sample_keys
from jaxssl.train.mesh import make_mesh, put_batch
from jaxssl.train.state import abstract_state, create_state
from jaxssl.train.step import Schedule, make_step

TINY = cases.tiny("dino")
EXTRAS = replace(
    TINY,
    model=ViT(patch=4, width=16, depth=2, heads=2, drop_path=0.4),
    method=replace(TINY.method, targets="sinkhorn", koleo=0.1, ibot=1.0),
)
"""What DINOv2 added, on a ViT."""
SEED = 3
PLAN = Schedule(steps=8, steps_per_epoch=2)
OPTIMISER = optax.adamw(1e-2, weight_decay=0.1)


def at(step):
    return PLAN.progress(jnp.int32(step))


def keys_of(batch, name):
    return sample_keys(SEED, name, jnp.int32(0), batch["place"])


@cache
def begun(case):
    """The method, a batch, its views, and the state before the first step."""
    method, batch = cases.method_of(case), cases.batch_of(case, 16)
    views = jax.jit(method.views)(keys_of(batch, "views"), batch, at(0))
    abstract = abstract_state(method, OPTIMISER, SEED, views, make_mesh(jax.devices()[:1]))
    return method, batch, views, create_state(method, OPTIMISER, SEED, views, abstract)


@cache
def after(case, steps):
    method, batch, _, state = begun(case)
    state = jax.tree.map(jnp.copy, state)
    mesh = make_mesh(jax.devices()[:1])
    step = make_step(method, OPTIMISER, lambda _: 1e-2, PLAN, mesh)
    for _ in range(steps):
        state, log = step(state, put_batch(mesh, batch))
    return jax.device_get((state, log))


@cache
def seen_by(case):
    """What the network makes of views, as a compiled function of params, carry and views."""
    method, batch, _, _ = begun(case)
    return jax.jit(lambda params, carry, views: method.forward(params, carry, views, keys_of(batch, "forward"), at(2)))


def lost(case, params, carry, seen, step=2):
    method, batch, _, _ = begun(case)
    return method.objective(params, carry, seen, metadata(batch), at(step))


def assert_equal(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def differs(one, other):
    return [bool(np.any(a != b)) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)]


@pytest.mark.parametrize("case", [TINY, EXTRAS], ids=["U-Net", "ViT"])
def test_the_teacher_begins_as_a_copy_of_the_student(case):
    _, _, _, state = begun(case)
    assert_equal(state.carry["teacher"], {"params": state.params, "statistics": state.carry["statistics"]})


def test_the_teacher_averages_parameters_and_running_statistics():
    _, _, _, before = begun(TINY)
    (state, _) = after(TINY, 2)
    first, _ = after(TINY, 1)
    assert all(differs(before.carry["statistics"], first.carry["statistics"]))
    for old, new, step in ((before, first, 0), (first, state, 1)):
        kept = teacher.cosine(TINY.method.momentum, 1.0, at(step))
        followed = teacher.follow(old.carry["teacher"], new.params, new.carry["statistics"], kept, at(step))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), new.carry["teacher"], followed)
    assert all(differs(before.carry["teacher"]["statistics"], state.carry["teacher"]["statistics"]))


APART = replace(TINY, method=replace(TINY.method, teacher="apart"))
"""With the published faults, for whoever wants to measure them."""


def test_a_teacher_apart_begins_with_weights_of_its_own():
    _, _, _, state = begun(APART)
    student, other = (
        {
            jax.tree_util.keystr(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
            if leaf.ndim > 1
        }
        for params in (state.params, state.carry["teacher"]["params"])
    )
    assert all(differs(student, other))
    assert_equal(state.params, begun(TINY)[3].params)


def test_a_teacher_apart_keeps_statistics_of_what_it_sees():
    """Where it is the student for once, and sees the same, these are the student's own; an average would lag behind."""
    method, batch, views, state = begun(APART)
    same = teacher.copy(state.params, state.carry["statistics"], state.carry["teacher"]["params"])
    carry = {**state.carry, "teacher": same}
    seen = seen_by(APART)(state.params, carry, views)
    _, statistics = method.objective(state.params, carry, seen, metadata(batch), at(0))
    moved = method.update(state.params, carry, statistics, seen.moments, at(0))
    assert all(differs(moved["statistics"], state.carry["statistics"]))
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, moved["teacher"]["statistics"]["encoder"], moved["statistics"]["encoder"])
    assert_equal(moved["teacher"]["params"], same["params"])


def test_prototypes_are_frozen_at_first_with_their_moments_to_the_bit():
    case = replace(TINY, method=replace(TINY.method, frozen_epochs=1.0))
    _, _, _, before = begun(case)
    frozen, _ = after(case, 2)
    assert_equal(frozen.params["prototypes"], before.params["prototypes"])
    for name in ("mu", "nu"):
        old, new = (optax.tree.get(state.moments, name) for state in (before, frozen))
        assert_equal(new["prototypes"], old["prototypes"])
        assert any(differs(new["head"], old["head"]))
    thawed, _ = after(case, 3)
    assert any(differs(thawed.params["prototypes"], before.params["prototypes"]))


def test_prototypes_begin_as_a_published_last_layer_does():
    """Uniform in +-1 / sqrt(dim): std 1 / sqrt(3 dim), and 1.8 for its fourth moment in units of its second."""
    case = replace(TINY, method=replace(TINY.method, prototypes=512))
    _, _, _, state = begun(case)
    drawn = np.float64(state.params["prototypes"]["kernel"])
    assert drawn.shape == (512, 8)
    np.testing.assert_allclose(drawn.std(), (3 * 8) ** -0.5, rtol=0.03)
    np.testing.assert_allclose(drawn.mean(), 0, atol=0.02)
    np.testing.assert_allclose(np.mean(drawn**4) / np.mean(drawn**2) ** 2, 1.8, rtol=0.05)
    assert np.abs(drawn).max() <= 8**-0.5


def test_prototypes_travel_to_another_run_as_a_part():
    method, _, _, fresh = begun(TINY)
    trained, _ = after(TINY, 3)
    handed_on = method.parts(trained.params, trained.carry)
    params, carry = parts.adopt(fresh.params, fresh.carry, {"prototypes": handed_on["prototypes"]})
    wanted = trained.carry["teacher"]["params"]["prototypes"]
    assert any(differs(wanted, fresh.params["prototypes"]))
    assert_equal((params["prototypes"], carry["teacher"]["params"]["prototypes"]), (wanted, wanted))
    assert_equal(params["head"], fresh.params["head"])


def test_an_average_beside_the_teacher_is_refused(tmp_path):
    store = jaxssl.data_phantom(tmp_path / "phantom", jaxssl.CineOptions(subjects=8, phases=2, slices=2, seed=3))
    with pytest.raises(UserError, match=r"leave train\.average none"):
        jaxssl.pretrain("dino:tiny", tmp_path / "run", {"data.store": str(store), "train.average": 0.9})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", [TINY, EXTRAS], ids=["U-Net", "ViT"])
def test_no_gradient_reaches_the_teacher(case):
    method, batch, views, state = begun(case)

    @jax.jit
    @jax.grad
    def gradients(everything):
        params, known = everything
        carry = {**state.carry, "teacher": known}
        seen = method.forward(params, carry, views, keys_of(batch, "forward"), at(2))
        return method.objective(params, carry, seen, metadata(batch), at(2))[0]

    of_student, of_teacher = gradients((state.params, state.carry["teacher"]))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_teacher))
    assert all(np.any(leaf) for part in ("head", "prototypes") for leaf in jax.tree.leaves(of_student[part]))


def test_the_teacher_is_normalised_by_its_own_views_and_is_what_is_handed_on():
    method, _, views, _ = begun(TINY)
    state, _ = after(TINY, 2)
    seen = seen_by(TINY)(state.params, state.carry, views)
    known = state.carry["teacher"]
    other = {**state.carry, "teacher": {**known, "statistics": jax.tree.map(lambda x: 2 * x + 1, known["statistics"])}}
    assert_equal(seen_by(TINY)(state.params, other, views).fixed, seen.fixed)
    handed_on = method.parts(state.params, state.carry)
    assert_equal(handed_on["encoder"], {kind: known[kind]["encoder"] for kind in ("params", "statistics")})
    assert any(differs(handed_on["encoder"]["params"], state.params["encoder"]))


def test_running_statistics_and_global_views_know_nothing_of_local_views():
    _, _, views, state = begun(TINY)
    seen = seen_by(TINY)(state.params, state.carry, views)
    other = seen_by(TINY)(state.params, state.carry, {**views, "local": views["local"] ** 2 + 1})
    assert_equal(other.moments, seen.moments)
    assert_equal(other.fixed, seen.fixed)
    assert_equal(other.outputs["views"][:, :2], seen.outputs["views"][:, :2])
    assert np.any(other.outputs["views"][:, 2:] != seen.outputs["views"][:, 2:])


def test_views_have_two_sizes_and_are_all_different():
    _, _, views, _ = begun(TINY)
    assert views["global"].shape == (16, 2, 16, 12, 1)
    assert views["local"].shape == (16, 2, 8, 8, 1)
    assert np.mean(views["global"][:, 0] != views["global"][:, 1]) > 0.9
    assert np.mean(views["local"][:, 0] != views["local"][:, 1]) > 0.9


def test_a_student_that_is_its_teacher_loses_its_entropy_and_no_more():
    """All views of an image alike, one temperature, no centre: the loss is the teacher's entropy."""
    case = replace(TINY, method=replace(TINY.method, teacher_temperature=(0.1, 0.1), temperature=0.1))
    _, _, _, state = begun(case)
    rows = np.random.default_rng(0).normal(size=(16, 1, 8)).astype(np.float32)
    outputs = {"views": np.repeat(rows, 4, axis=1), "embedding": np.ones((16, 2, 4), np.float32)}
    loss, statistics = lost(case, state.params, state.carry, Seen(outputs, {"views": np.repeat(rows, 2, axis=1)}, {}))
    assert loss > 0.5
    np.testing.assert_allclose(loss, statistics["monitor"]["teacher_entropy"], rtol=1e-5)
    np.testing.assert_allclose(statistics["monitor"]["teacher_student_kl"], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("direction", "entropy", "use"), [("none", 1, 1), ("one for all", 0, 0), ("one for each", 0, 0.8)]
)
def test_the_monitor_tells_both_collapses_from_health(direction, entropy, use):
    case = replace(TINY, method=replace(TINY.method, teacher_temperature=(0.004, 0.004)))
    _, _, _, state = begun(case)
    prototypes = np.asarray(state.params["prototypes"]["kernel"])
    # Features that are a prototype each, the same prototype all, or the zero vector, which is near none.
    chosen = {"none": 0 * prototypes[:16], "one for all": prototypes[[5] * 16], "one for each": prototypes[:16]}
    views = np.repeat(chosen[direction][:, None], 4, axis=1)
    seen = Seen({"views": views, "embedding": np.ones((16, 2, 4), np.float32)}, {"views": views[:, :2]}, {})
    loss, statistics = lost(case, state.params, state.carry, seen)
    monitor = statistics["monitor"]
    np.testing.assert_allclose(monitor["teacher_entropy_share"], entropy, atol=0.05)
    np.testing.assert_allclose(monitor["prototype_use_share"], use, atol=0.1)
    if direction == "none":
        np.testing.assert_allclose(loss, np.log(len(prototypes)), rtol=1e-5)


def test_the_centre_is_the_running_mean_of_the_teachers_logits():
    _, _, views, state = begun(TINY)
    seen = seen_by(TINY)(state.params, state.carry, views)
    features = np.float64(seen.fixed["views"])
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    prototypes = np.float64(state.params["prototypes"]["kernel"])
    prototypes /= np.linalg.norm(prototypes, axis=-1, keepdims=True)
    wanted = 0.1 * (features @ prototypes.T).mean((0, 1))
    np.testing.assert_allclose(after(TINY, 1)[0].carry["centre"]["views"], wanted, rtol=1e-3, atol=1e-5)


def temperature_at(epoch, **options):
    return dino.teacher_temperature(dino.Options(**options), Progress(jnp.int32(0), 10, jnp.float32(epoch)))


@pytest.mark.parametrize("warmup", [2, 7, 30])
def test_the_teachers_temperature_is_the_published_one_of_each_epoch(warmup):
    published = np.concatenate([np.linspace(0.02, 0.04, warmup), np.full(3, 0.04)])
    for epoch, wanted in enumerate(published):
        # At its beginning, where a quotient is a little short of it, and at its end.
        for here in (epoch, np.nextafter(np.float32(epoch), np.float32(0)), epoch + 0.99):
            np.testing.assert_allclose(temperature_at(here, teacher_warmup=warmup), wanted, rtol=1e-6)


@pytest.mark.parametrize("warmup", [0, 1])
@pytest.mark.parametrize("epoch", [0, 0.5, 1, 100])
def test_without_a_warm_up_the_teachers_temperature_is_its_last(warmup, epoch):
    np.testing.assert_allclose(temperature_at(epoch, teacher_warmup=warmup), 0.04, rtol=1e-6)


def test_a_hidden_patch_is_seen_by_the_teacher_only():
    _, _, views, state = begun(EXTRAS)
    assert (views["hidden"].sum(-1) == round(0.3 * 12)).all()
    assert np.any(views["hidden"][:, 0] != views["hidden"][:, 1])
    pixels = views["hidden"].reshape(16, 2, 4, 3).repeat(4, axis=2).repeat(4, axis=3)[..., None] > 0
    seen, other = (
        seen_by(EXTRAS)(state.params, state.carry, {**views, "global": images})
        for images in (views["global"], jnp.where(pixels, 7.0, views["global"]))
    )
    assert seen.outputs["patches"].shape == (16, 2, 4, 8)
    assert_equal(other.outputs, seen.outputs)
    assert all(differs(other.fixed, seen.fixed))


def test_the_losses_add_up_with_their_weights():
    _, _, views, state = begun(EXTRAS)
    seen = seen_by(EXTRAS)(state.params, state.carry, views)

    def of(**weights):
        case = replace(EXTRAS, method=replace(EXTRAS.method, **weights))
        return cases.method_of(case).objective(state.params, state.carry, seen, {}, at(2))

    loss, statistics = of(koleo=0.3, ibot=0.5)
    of_views, _ = of(koleo=0.0, ibot=1e-30)
    monitor = statistics["monitor"]
    assert monitor["ibot"] > 0.1
    np.testing.assert_allclose(loss, of_views + 0.5 * monitor["ibot"] + 0.3 * monitor["koleo"], rtol=1e-5)


def test_a_few_steps_on_one_batch_lower_the_loss():
    """With the teacher held still there is something to learn, and it is learnt."""
    case = replace(TINY, method=replace(TINY.method, momentum=1.0, centre_momentum=1.0))
    _, first = after(case, 1)
    _, last = after(case, 8)
    assert last["loss"] < 0.9 * first["loss"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ibot": 1.0}, "only a ViT"),
        ({"local_size": (32, 8)}, "larger than the image"),
        ({"local_size": (7, 8)}, "method.local_size: A U-Net"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_method_is_built(changes, message):
    case = replace(TINY, method=replace(TINY.method, **changes))
    with pytest.raises(UserError, match=message):
        cases.method_of(case)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_hiding_nothing_or_all_is_refused(share):
    with pytest.raises(UserError, match=r"method\.hidden"):
        cases.method_of(replace(EXTRAS, method=replace(EXTRAS.method, hidden=share)))


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.0},
        {"teacher_temperature": (0.0, 0.1)},
        {"momentum": 1.1},
        {"centre_momentum": -0.1},
        {"local_views": -1},
        {"koleo": -0.1},
        {"prototypes": 1},
        {"head": ()},
        {"head": (8, 0)},
        {"local_size": (0, 8)},
        {"local_size": (8, -1)},
        {"block": 0},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused_with_their_values(changes):
    (name, value), *_ = changes.items()
    with pytest.raises(UserError, match=rf"method\.{name}\b.*{re.escape(str(value))}"):
        dino.Options(**changes).check()


@pytest.mark.parametrize("variant", ["study_b", "small", "vit"])
def test_recipes_can_be_built(variant):
    load_recipe(f"dino:{variant}").check()


def test_the_default_recipe_is_study_bs():
    recipe = load_recipe("dino")
    assert (recipe.train.batch, recipe.train.epochs, recipe.data.layout.size) == (64, 100, (256, 256))
    options = recipe.method
    assert (options.local_views, options.local_size, options.prototypes) == (6, (128, 128), 8192)
    assert (options.head, options.momentum, options.centre_momentum) == ((2048, 2048, 256), 0.996, 0.9)
    assert (options.temperature, options.teacher_temperature, options.teacher_warmup) == (0.1, (0.02, 0.04), 30)
    assert options.frozen_epochs == 1
