"""Losses over prototypes, and KoLeo, shared out over devices: the same numbers, an even part of work, little memory."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.bench import program
from jaxssl.objectives import (
    centre_softmax,
    centred_targets,
    dino_loss,
    koleo_loss,
    prototype_loss,
    prototype_patch_loss,
    sinkhorn,
    sinkhorn_targets,
    target_statistics,
)
from jaxssl.train.mesh import by_sample, make_mesh, replicated

VIEWS, DIM, PROTOTYPES, BLOCK = 5, 6, 37, 8
HEAT, TEMPERATURE = 0.3, 0.2
# Devices, and how many of them are on the second axis.
MESHES = {"1": (1, 1), "2": (2, 1), "4": (4, 1), "8": (8, 1), "4 x 2": (8, 2)}


def on(devices, fsdp=1):
    return make_mesh(jax.devices()[:devices], fsdp)


def inputs_of(batch):
    """What is differentiated: features, hidden patches, prototypes and temperature; and what is not, the teacher's."""
    rng = np.random.default_rng(0)
    student = {
        "features": rng.normal(size=(VIEWS, batch, DIM)),
        "patches": rng.normal(size=(2, batch, 3, DIM)),
        "prototypes": rng.normal(size=(PROTOTYPES, DIM)),
        "temperature": np.float64(TEMPERATURE),
    }
    teacher = {
        "features": rng.normal(size=(2, batch, DIM)),
        "patches": rng.normal(size=(2, batch, 3, DIM)),
        "prototypes": rng.normal(size=(PROTOTYPES, DIM)),
        "centre": rng.normal(size=PROTOTYPES),
    }
    return student, teacher


def blocked(student, teacher):
    """A centre for views, Sinkhorn for patches, KoLeo for both: a sum of all there is."""
    how = {"temperature": student["temperature"], "block_size": BLOCK}
    of_views = centred_targets(teacher["features"], teacher["prototypes"], teacher["centre"], HEAT, BLOCK)
    of_patches = sinkhorn_targets(teacher["patches"], teacher["prototypes"], HEAT, block_size=BLOCK)
    loss = prototype_loss(student["features"], student["prototypes"], of_views, **how)
    loss += prototype_patch_loss(student["patches"], student["prototypes"], of_patches, **how)
    return loss + koleo_loss(student["features"][0]), target_statistics(of_patches, BLOCK)


def plain(student, teacher):
    """The same from whole logits."""
    of_views, of_patches = (
        jnp.einsum("...d,kd->...k", teacher[name], teacher["prototypes"]) for name in ("features", "patches")
    )
    logits, patches = (
        jnp.einsum("...d,kd->...k", student[name], student["prototypes"]) for name in ("features", "patches")
    )
    probs = sinkhorn(of_patches, HEAT)
    log_probs = jax.nn.log_softmax(patches / student["temperature"])
    loss = dino_loss(logits, centre_softmax(of_views, teacher["centre"], HEAT), temperature=student["temperature"])
    loss += -(probs * log_probs).sum(-1).mean()
    loss += koleo_loss(student["features"][0])
    return loss, ((-probs * jnp.log(probs)).sum(-1), probs.mean((0, 1, 2)))


def graded(function):
    return jax.jit(jax.value_and_grad(function, has_aux=True))


@cache
def wanted(batch):
    with jax.enable_x64(True):
        return jax.device_get(graded(plain)(*inputs_of(batch)))


def spread(inputs, mesh):
    """Every array with samples divided by sample, the others repeated."""

    def put(path, x):
        has_samples = path[-1].key in ("features", "patches")
        return jax.device_put(x, by_sample(mesh, axis=1) if has_samples else replicated(mesh))

    return jax.tree_util.tree_map_with_path(put, inputs)


def check_against_plain(batch, mesh, precision, tolerance, divided):
    with jax.enable_x64(True), jax.set_mesh(on(*MESHES[mesh])):
        inputs = jax.tree.map(precision, inputs_of(batch))
        inputs = spread(inputs, on(*MESHES[mesh])) if divided else inputs
        found = jax.device_get(graded(blocked)(*inputs))
    assert found[0][0].dtype == precision
    leaves = zip(jax.tree.leaves_with_path(found), jax.tree.leaves(wanted(batch)), strict=True)
    for (path, ours), theirs in leaves:
        error = np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()
        assert error < tolerance, jax.tree_util.keystr(path)


@pytest.mark.parametrize("divided", [True, False], ids=["divided", "whole"])
@pytest.mark.parametrize("mesh", MESHES)
def test_loss_and_gradients_are_those_of_whole_logits(mesh, divided):
    check_against_plain(16, mesh, np.float64, 1e-9, divided)


@pytest.mark.parametrize("mesh", ["1", "8"])
def test_in_single_precision_they_are_so_to_rounding(mesh):
    check_against_plain(16, mesh, np.float32, 1e-5, divided=True)


def test_a_batch_that_does_not_divide_is_as_right():
    check_against_plain(5, "8", np.float64, 1e-9, divided=False)


LARGE, BATCH, WIDTH = 4096, 256, 32


@cache
def compiled(devices, kind):
    """The program of DINO's loss and its gradient, for so many devices."""
    features = jax.ShapeDtypeStruct((VIEWS, BATCH, WIDTH), np.float32)
    others = jax.ShapeDtypeStruct((2, BATCH, WIDTH), np.float32)
    table, centre = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((LARGE, WIDTH), (LARGE,)))

    def loss(features, prototypes, others, of_teacher, centre):
        if kind == "sinkhorn":
            targets = sinkhorn_targets(others, of_teacher, HEAT, block_size=512)
        else:
            targets = centred_targets(others, of_teacher, centre, HEAT, block_size=512)
        return prototype_loss(features, prototypes, targets, block_size=512)

    mesh = on(devices)
    samples, whole = by_sample(mesh, axis=1), replicated(mesh)
    with jax.set_mesh(mesh):
        step = jax.jit(
            jax.value_and_grad(loss, argnums=(0, 1)),
            in_shardings=(samples, whole, samples, whole, whole),
            out_shardings=(whole, (samples, whole)),
        )
        return step.lower(features, table, others, table, centre).compile()


@pytest.mark.parametrize("kind", ["centre", "sinkhorn"])
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_each_device_does_an_even_part_of_the_work(devices, kind):
    """Products of each row with all prototypes: of a student's view scores, twice, and two gradients; of a teacher's
    one for its normalisation, or three, and scores, twice, what it expects, and a gradient."""
    products = 4 * VIEWS + ((3 if kind == "sinkhorn" else 1) + 4) * 2
    flops = 2 * products * BATCH * LARGE * WIDTH
    assert program.flops(compiled(devices, kind)) == pytest.approx(flops / devices, 1e-2)


@pytest.mark.parametrize("kind", ["centre", "sinkhorn"])
def test_memory_beside_prototypes_falls_with_the_devices(kind):
    alone, shared = (program.memory(compiled(devices, kind)).temporary for devices in (1, 8))
    table, block = 4 * LARGE * WIDTH, 4 * VIEWS * BATCH * 512
    assert shared <= 3 * table + 3 * block / 8
    assert shared <= alone - block / 2
    assert alone < 4 * VIEWS * BATCH * LARGE / 2


@pytest.mark.parametrize("kind", ["centre", "sinkhorn"])
def test_what_is_sent_is_the_gradient_of_prototypes_and_sums_of_them(kind):
    sent = program.collectives(compiled(8, kind))
    of_prototypes, blocks = 4 * LARGE * WIDTH, LARGE // 512
    reduced = sent.pop("all-reduce")
    # Twice the prototypes, whose gradient has two parts; for Sinkhorn each iteration a peak and a sum of each.
    assert reduced.bytes <= 2 * of_prototypes + 3 * 2 * 4 * LARGE + 1024
    assert reduced.count <= 2 * blocks + 3 * 2 * blocks + 4
    assert not sent


@pytest.mark.parametrize("devices", [1, 8])
def test_a_block_that_is_not_given_is_as_large_as_the_rows_of_a_device_allow(devices):
    """Of 2 x 64 x 512 rows 256 prototypes at a time on one device, and 2,048 where each has an eighth of the rows."""
    patches, table = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((2, 64, 512, 4), (4096, 4)))
    mesh = on(devices)
    with jax.set_mesh(mesh):
        shardings = by_sample(mesh, axis=1), replicated(mesh)
        ask = jax.jit(lambda rows, table: centred_targets(rows, table, table[:, 0], HEAT), in_shardings=shardings)
        taken = program.memory(ask.lower(patches, table).compile()).temporary
    assert 4 * 2**24 <= taken < 4 * 3 * 2**24
