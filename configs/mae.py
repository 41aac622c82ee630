"""Masked autoencoder on cine short-axis slices (He et al. 2022, arXiv 2111.06377).

    jaxssl pretrain mae --data.store stores/cine --workdir runs/mae
    jaxssl pretrain mae:small --data.store stores/phantom --workdir runs/mae-small

published: the published settings on slices of 256 x 256 pixels: ViT-B/16, 64 of 256 patches are seen, decoder of width
512 and depth 8, normalised pixels, random resized crop and flip, AdamW with beta2 .95, lr 1.5e-4 for each 256
samples, weight decay .05, a twentieth of 800 epochs to warm up; the batch is 1024 in place of 4096, there being fewer
images. *Not run* here.
small: a small ViT on the phantom; its time and its result are *not run*.
tiny: seconds, for tests.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import mae
from jaxssl.models.mae import Light
from jaxssl.models.vit import ViT
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def published() -> Recipe:
    return Recipe(
        name="mae",
        model=replace(ViT.base(), positions="sincos", scan=True),
        method=mae.Options(augment=Augment.windows(0.2)),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("adamw", lr=6e-4, warmup=0.05, weight_decay=0.05, beta2=0.95),
        train=Train(batch=1024, epochs=800, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="mae:small",
        # In so few steps a class token learns little: the mean of the patches tells images apart from the start.
        model=ViT(patch=8, width=128, depth=6, heads=4, positions="sincos", pool="mean"),
        method=mae.Options(decoder=Light(width=64, depth=2, heads=4), augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=4e-4, warmup=0.1, weight_decay=0.05, beta2=0.95),
        train=Train(batch=64, steps=800, checkpoint_every=100),
    )


def tiny() -> Recipe:
    return Recipe(
        name="mae:tiny",
        model=ViT(patch=4, width=16, depth=1, heads=2, positions="sincos"),
        # Raw pixels: of normalised noise, which tests train on, there is nothing to learn but rounding.
        method=mae.Options(normalise=False, decoder=Light(width=8, depth=1, heads=2)),
        data=Data(layout=Layout((32, 24), 4.0)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(published, small, tiny)
