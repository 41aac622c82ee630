"""Optimisers, schedules and kNN on the inputs of the golden values."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from golden.rows import made

from jaxssl.evaluate.knn import knn_accuracy
from jaxssl.methods.base import Progress
from jaxssl.methods.teacher import cosine
from jaxssl.models.vit import ViT
from jaxssl.train.layers import layer_factors
from jaxssl.train.optim import Optim, learning_rate, make_optimiser


def lars_after_two_steps(name):
    """`w` and `b` after two steps of LARS at .3 with decay .01; a vector is neither decayed nor rescaled."""
    params = {"w": made(3, 4, 0.5), "b": made(1, 4, 0.1)[0]}
    optimiser = make_optimiser(Optim("lars", lr=0.3, schedule="constant", weight_decay=0.01), steps=10)
    state, update = optimiser.init(params), jax.jit(optimiser.update)
    for i in range(2):
        gradient = {"w": made(3, 4, 1.5 + i), "b": made(1, 4, 2.5 + i)[0]}
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params[name]


def factors_of_a_vit():
    """The factor on the learning rate of each leaf of a ViT with 12 blocks and a head, at decay .75."""
    encoder = ViT(patch=4, width=4, heads=1).encoder(jnp.float32, rows=1)
    images = jnp.zeros((1, 8, 8, 1))
    params = jax.eval_shape(lambda: encoder.init(jax.random.key(0), images, train=False))["params"]
    return layer_factors({"encoder": params, "head": {"kernel": jnp.zeros((4, 2))}}, 0.75)


def layer_ids():
    """Their id of a layer is 13 - log(factor) / log(.75); our leaves in the order of their names."""
    factors = factors_of_a_vit()
    encoder = factors["encoder"]
    leaves = [
        encoder["tokens"],
        encoder["positions"]["grid"],
        encoder["patch"]["kernel"],
        encoder["block0"]["attention_norm"]["scale"],
        encoder["block11"]["mlp"]["in"]["kernel"],
        encoder["norm"]["scale"],
        factors["head"]["kernel"],
    ]
    return [13 - math.log(factor) / math.log(0.75) for factor in leaves]


def first_and_last_scales():
    factors = factors_of_a_vit()
    return [factors["encoder"]["patch"]["kernel"], factors["encoder"]["block11"]["mlp"]["in"]["kernel"], 1.0]


SHOWN = (0, 9, 10, 25, 49)
PEAK, LAST = 5e-4, 1e-6


def our_learning_rate():
    """50 steps, 10 of them warm-up; ours ends at 0, so what they end at is added to where ours has come to."""
    ours = learning_rate(Optim(lr=PEAK, warmup=0.2), steps=50)
    return [ours(step) if step < 10 else LAST + (1 - LAST / PEAK) * ours(step) for step in SHOWN]


def their_learning_rate():
    """The warm-up of DINO's schedule is at its peak in its last step, ours in the step after."""
    rise = np.linspace(0, PEAK, 10)
    fall = LAST + (PEAK - LAST) * (1 + np.cos(np.pi * np.arange(40) / 40)) / 2
    return np.concatenate([rise, fall])[list(SHOWN)]


def our_cosine_of_10():
    rate = learning_rate(Optim(lr=1.0), steps=10)
    return [rate(step) for step in (0, 1, 2)]


def their_cosine_of_10():
    return [(1 + math.cos(math.pi * step / 9)) / 2 for step in (0, 1, 2)]


def teacher_momentum():
    return [cosine(0.996, 1.0, Progress(step, 50, 0.0)) for step in (0, 25, 49)]


def knn_top1():
    train, test = (np.asarray(made(n, 8, phase)) for n, phase in ((60, 0), (100, 2)))
    found = knn_accuracy(train, np.arange(60) % 5, test, np.arange(100) % 5, k=10, temperature=0.07)
    return 100 * found.top1
