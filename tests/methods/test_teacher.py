"""A teacher is the running average of its student, statistics included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.methods import teacher
from jaxssl.methods.base import Progress
from jaxssl.methods.parts import adopt


def at(step: int) -> Progress:
    return Progress(jnp.int32(step), 50, jnp.float32(0))


def student(seed: int, dtype=np.float32):
    random = np.random.default_rng(seed)
    params = {part: {"kernel": random.normal(size=(3, 2)).astype(dtype)} for part in ("encoder", "head", "predictor")}
    return params, {"encoder": {"mean": random.normal(size=2).astype(dtype)}}


def test_it_begins_as_a_copy_of_the_parts_it_has():
    params, statistics = student(0)
    fresh = teacher.copy(params, statistics, ("encoder", "head"))
    assert fresh["params"].keys() == {"encoder", "head"}
    jax.tree.map(np.testing.assert_array_equal, fresh["params"]["encoder"], params["encoder"])
    jax.tree.map(np.testing.assert_array_equal, fresh["statistics"], statistics)


def test_it_is_the_average_of_the_students_it_has_followed():
    """After n steps the student of step i weighs (1 - m) m^(n - 1 - i), the first copy m^n."""
    students, momentum = [student(seed) for seed in range(5)], 0.7
    follower = teacher.copy(*students[0], ("encoder",))
    for params, statistics in students[1:]:
        follower = teacher.follow(follower, params, statistics, momentum, at(1000))
    weight = [momentum**4, *((1 - momentum) * momentum ** (4 - i) for i in range(1, 5))]
    expected = [
        sum(w * part for w, part in zip(weight, values, strict=True))
        for values in (
            [params["encoder"]["kernel"] for params, _ in students],
            [statistics["encoder"]["mean"] for _, statistics in students],
        )
    ]
    found = [follower["params"]["encoder"]["kernel"], follower["statistics"]["encoder"]["mean"]]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_statistics_that_it_began_with_are_soon_forgotten():
    """At step t no more than (1 + t) / (10 + t) of them is kept, however high the momentum: they were nobody's."""
    params, statistics = student(0)
    follower = teacher.copy(params, {"encoder": {"mean": np.zeros(2, np.float32)}}, ("encoder",))
    left = 1.0
    for step in range(30):
        follower = teacher.follow(follower, params, statistics, 0.9999, at(step))
        left *= (1 + step) / (10 + step)
    expected = (1 - left) * statistics["encoder"]["mean"]
    np.testing.assert_allclose(follower["statistics"]["encoder"]["mean"], expected, rtol=1e-5)
    assert left < 1e-7


def test_momentum_next_to_one_is_not_lost_to_rounding():
    """0.9999 of one and 0.0001 of its double, ten thousand times: 2 - 0.9999^10000."""
    start, target = {"encoder": {"kernel": jnp.ones(1)}}, {"encoder": {"kernel": jnp.full(1, 2.0)}}
    follower = teacher.copy(start, {}, ("encoder",))
    many = jax.jit(lambda t: jax.lax.fori_loop(0, 10_000, lambda _, t: teacher.follow(t, target, {}, 0.9999, at(0)), t))
    np.testing.assert_allclose(many(follower)["params"]["encoder"]["kernel"], 2 - 0.9999**10_000, rtol=1e-4)


@pytest.mark.parametrize(("step", "momentum"), [(0, 0.996), (25, 0.998), (49, 0.9999960534568565), (50, 1.0)])
def test_the_schedule_is_dinos(step, momentum):
    np.testing.assert_allclose(teacher.cosine(0.996, 1.0, at(step)), momentum, rtol=1e-6)


def test_weights_that_are_taken_over_are_the_teachers_too():
    params, statistics = student(0)
    carry = {"statistics": statistics, "teacher": teacher.copy(params, statistics, ("encoder", "head"))}
    given = {"params": student(1)[0]["encoder"], "statistics": student(1)[1]["encoder"]}
    params, carry = adopt(params, carry, {"encoder": given})
    jax.tree.map(np.testing.assert_array_equal, carry["teacher"]["params"]["encoder"], given["params"])
    jax.tree.map(np.testing.assert_array_equal, carry["teacher"]["statistics"]["encoder"], given["statistics"])
    jax.tree.map(np.testing.assert_array_equal, carry["teacher"]["params"]["head"], params["head"])
