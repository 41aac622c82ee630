"""BYOL against one step written out in numpy: both directions, the predictor, the teacher and its average."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods.backbone import SPEC, STILL, Backbone, encoded, keys_of, progress_at, projected, shaken, unit

from jaxssl.methods import byol

START = progress_at(0)
OPTIONS = byol.Options(projector=(7, 3), predictor=(6, 3), momentum=0.9, augment=STILL)
METHOD = byol.build(OPTIONS, Backbone(), SPEC)


@pytest.fixture
def begun():
    views = jax.random.normal(jax.random.key(5), (8, 2, *SPEC.size, 1))
    params, carry = METHOD.init(jax.random.key(0), views)
    jax.tree.map(np.testing.assert_array_equal, carry["teacher"]["params"], {p: params[p] for p in ("encoder", "head")})
    return views, shaken(params), {**carry, "teacher": shaken(carry["teacher"], seed=1)}


@jax.jit
def loss_of(params, carry, views):
    seen = METHOD.forward(params, carry, views, keys_of(8), START)
    loss, statistics = METHOD.objective(params, carry, seen, {}, START)
    return loss, (statistics["monitor"], seen.moments)


def test_loss_is_the_one_written_out(begun):
    views, params, carry = begun
    rows = views.reshape(16, *views.shape[2:])

    def seen_by(weights):
        """Both views of 4 samples are normalised together, in the teacher too."""
        return projected(weights["head"], encoded(weights["encoder"], rows, 8), 8)

    predictions = unit(projected(params["predictor"], seen_by(params), 8)).reshape(8, 2, 3)
    targets = unit(seen_by(carry["teacher"]["params"])).reshape(8, 2, 3)
    directions = [(2 - 2 * (predictions[:, a] * targets[:, 1 - a]).sum(-1)).mean() for a in range(2)]
    loss, (monitor, _) = loss_of(params, carry, views)
    np.testing.assert_allclose(loss, sum(directions), rtol=1e-4)
    np.testing.assert_allclose(monitor["positive_similarity"], 1 - sum(directions) / 4, rtol=1e-4, atol=1e-5)


def test_the_teacher_has_no_gradient_and_every_part_of_the_student_has_one(begun):
    views, params, carry = begun
    of_student, of_teacher = jax.grad(loss_of, argnums=(0, 1), has_aux=True)(params, carry, views)[0]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_teacher["teacher"]))
    assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(of_student))


def test_without_the_predictor_s_normalisation_the_projector_keeps_its_bias(begun):
    views, params, _ = begun
    assert "bias" not in params["head"]["layer1"]
    plain = byol.build(replace(OPTIONS, projector_norm=False), Backbone(), SPEC)
    assert "bias" in plain.init(jax.random.key(0), views)[0]["head"]["layer1"]


@pytest.mark.parametrize(("rising", "step", "kept"), [(False, 50, 0.9), (True, 0, 0.9), (True, 50, 0.95)])
def test_the_teacher_is_an_average_of_the_student_and_of_its_running_statistics(begun, rising, step, kept):
    views, params, carry = begun
    method = byol.build(replace(OPTIONS, rising=rising), Backbone(), SPEC)
    moments = loss_of(params, carry, views)[1][1]
    after = method.update(params, carry, {}, moments, progress_at(step))
    student = {"params": params, "statistics": after["statistics"]}
    soon = min(kept, (1 + step) / (10 + step))
    for kind, share in (("params", kept), ("statistics", soon)):
        assert set(after["teacher"][kind]) == {"encoder", "head"}
        for part, new in after["teacher"][kind].items():
            jax.tree.map(
                lambda got, a, b, share=share: np.testing.assert_allclose(
                    got, share * a + (1 - share) * b, rtol=1e-4, atol=1e-5
                ),
                new,
                carry["teacher"][kind][part],
                student[kind][part],
            )


def test_running_statistics_are_the_students_alone(begun):
    """What the teacher saw is thrown away: another teacher leaves the same statistics."""
    views, params, carry = begun
    others = {**carry, "teacher": shaken(carry["teacher"], seed=2)}
    one, two = (loss_of(params, some, views)[1][1] for some in (carry, others))
    jax.tree.map(np.testing.assert_array_equal, one, two)
    after = METHOD.update(params, carry, {}, one, START)["statistics"]
    rows = np.float64(views).reshape(16, -1) @ np.float64(params["encoder"]["layer"]["kernel"])
    np.testing.assert_allclose(after["encoder"]["norm"]["mean"], 0.25 * rows.mean(0), atol=1e-5)
    embeddings = encoded(params["encoder"], views.reshape(16, *views.shape[2:]), 8)
    projections = projected(params["head"], embeddings, 8)
    hidden = projections @ np.float64(params["predictor"]["layer0"]["kernel"])
    np.testing.assert_allclose(after["predictor"]["norm0"]["mean"], 0.25 * hidden.mean(0), rtol=1e-3, atol=1e-3)
    assert set(after) == {"encoder", "head", "predictor"}
    assert jnp.all(jnp.isfinite(after["head"]["norm0"]["var"]))
