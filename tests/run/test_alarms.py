"""Each way to collapse is provoked in the objective of a method that collapses so; learning is left alone."""

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl.errors import UserError
from jaxssl.methods.base import Seen, metadata
from jaxssl.objectives import contrastive_loss, same_label
from jaxssl.train.alarms import LOOKS, MODES, CollapseAlarm, Monitors
from jaxssl.train.loop import Tick
from jaxssl.train.step import Schedule

PLAN = Schedule(steps=1000, steps_per_epoch=10)
BATCH = 32


def logged(name, outputs, fixed=None, params=None, carry=None):
    """What the objective of a method logs of these outputs."""
    case = cases.quick(name)
    method, batch = cases.method_of(case), metadata(cases.batch_of(case, BATCH))
    loss, statistics = method.objective(params, carry, Seen(outputs, fixed, None), batch, PLAN.progress(jnp.int32(0)))
    return {name: float(value) for name, value in {"loss": loss, **statistics["monitor"]}.items()}


def noise(*shape):
    return jax.random.normal(jax.random.key(1), shape)


def of_pairs(kind):
    """SimCLR's log of embeddings [batch, view, dim]."""
    one = jnp.ones((BATCH, 2, 8))
    embeddings = {
        "constant": one,
        "alike": one + 0.03 * noise(BATCH, 2, 8),
        "one direction": one * jnp.sign(noise(BATCH, 1, 1)) + 1e-3 * noise(BATCH, 2, 8),
        "healthy": noise(BATCH, 1, 8) + 0.3 * noise(BATCH, 2, 8),
    }
    return logged("simclr", embeddings[kind])


def of_teacher(says):
    """DINO's log where its teacher makes `says` of all views, in terms of its prototypes, and the student as much."""
    prototypes = {"prototypes": {"kernel": noise(24, 8)}}
    known = jnp.broadcast_to(says(prototypes["prototypes"]["kernel"]), (BATCH, 2, 8))
    carry = {"teacher": {"params": prototypes}, "centre": {"views": jnp.zeros(24)}}
    outputs = {"views": jnp.concatenate([known, known], axis=1), "embedding": noise(BATCH, 2, 8)}
    return logged("dino", outputs, {"views": known}, prototypes, carry)


def without_positives():
    aux = contrastive_loss(noise(BATCH, 8), same_label(jnp.full(BATCH, -1)))[1]
    return {"loss": 0.0, **{name: float(value) for name, value in aux.items()}}


def heard(*looks, on_collapse="warn", every=10, first=300):
    """What is said of these looks, one after the other."""
    said: list[str] = []
    alarm = CollapseAlarm(Monitors(on_collapse), every, said.append)
    for number, values in enumerate(looks):
        tick = Tick(first + every * number, PLAN.steps, None, {}, 0.0)
        tick.__dict__["values"] = values
        alarm(tick)
    return said


def modes_of(said):
    return [sentence.partition("(")[2].partition(")")[0] for sentence in said]


@pytest.mark.parametrize(
    ("values", "modes", "figure", "change"),
    [
        (lambda: of_pairs("constant"), {"constant", "alike", "chance"}, f"{np.log(2 * BATCH - 1):.4f}", "optim.lr"),
        (lambda: of_pairs("alike"), {"alike", "chance"}, "0.99", "optim.lr"),
        (lambda: of_pairs("one direction"), {"one direction"}, "1.0", "method.projector"),
        (
            lambda: of_teacher(lambda p: 0 * p[0]),
            {"even teacher", "chance"},
            f"{np.log(24):.4f}",
            "teacher_temperature",
        ),
        (lambda: of_teacher(lambda p: p[0]), {"one prototype"}, "0.302", "method.targets sinkhorn"),
        (without_positives, {"nothing attracts"}, f"{BATCH} anchors", "method.positives"),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else "",
)
def test_a_collapse_that_lasts_is_named_once_with_its_figure_and_what_to_change(values, modes, figure, change):
    looks = [values()] * 5
    said = heard(*looks)
    assert set(modes_of(said)) == modes
    assert len(said) == len(modes)
    assert figure in " ".join(said)
    assert change in " ".join(said)
    with pytest.raises(UserError, match=r"Collapse .* monitors.on_collapse warn"):
        heard(*looks, on_collapse="stop")


def test_every_mode_is_provoked_here():
    provoked = test_a_collapse_that_lasts_is_named_once_with_its_figure_and_what_to_change.pytestmark[0].args[1]
    assert set().union(*(modes for _, modes, _, _ in provoked)) == set(MODES)


def test_what_passes_or_comes_at_the_beginning_or_is_healthy_is_not_told():
    good, bad = of_pairs("healthy"), of_pairs("constant")
    assert heard(*[good] * 9) == []
    assert heard(*[*[bad] * (LOOKS - 1), good] * 3) == []
    assert heard(*[bad] * 5, first=10) == []
    assert heard(*[bad] * 10, first=10)  # of 1000 steps the first 100 are the beginning


def test_a_run_whose_weights_decay_to_nothing_is_stopped(store, tmp_path):
    """Here by a step that takes all of the weights away; a biased layer of the same is alike for all images."""
    decays = {"optim.name": "sgd", "optim.lr": 0.1, "optim.weight_decay": 10.0, "optim.decay": "all"}
    options = {**decays, "data.store": str(store), "train.steps": 60, "monitors.on_collapse": "stop"}
    with pytest.raises(UserError, match=r"Collapse \((constant|alike|chance)\) at step 2\d"):
        jaxssl.pretrain("simclr:tiny", tmp_path / "run", options)
