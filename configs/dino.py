"""DINO on cine short-axis slices, as in study B (de Mooij et al. 2024, arXiv 2409.18100).

    jaxssl pretrain dino --data.store stores/cine --workdir runs/dino
    jaxssl pretrain dino:small --data.store stores/phantom --workdir runs/dino-small

study_b: the study's own views, temperatures, momenta, head and prototypes; 100 epochs, batch 64. Of its optimiser we
know nothing: here it is DINO's own (Caron et al. 2021: AdamW, lr 5e-4 for each 256 samples, a tenth of the run to warm
up, weight decay .04 to .4, each array's gradient clipped at norm 3). *Not run* here; *published* (study B): no gain,
DINO is poor for convolutional networks.
small: a small U-Net and 64 prototypes on the phantom, with Sinkhorn; its time and its result are *not run*.
vit: ViT-S/16 with 65,536 prototypes and what DINOv2 added (Oquab et al. 2024): its crops, Sinkhorn, KoLeo .1, and iBOT,
which here hides .3 of the patches of every global view; optimiser as above, but clipped as a whole. *Not run*.
tiny: seconds, for tests.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import dino
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_b() -> Recipe:
    return Recipe(
        name="dino",
        model=UNet(norm=Norm(group=64)),
        method=dino.Options(),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("adamw", lr=1.25e-4, warmup=0.1, weight_decay=0.04, weight_decay_end=0.4, clip_parameter=3.0),
        train=Train(batch=64, epochs=100, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="dino:small",
        model=UNet.small(),
        method=dino.Options(
            local_views=4,
            local_size=(48, 48),
            # Sharp, few and soon followed: some hundred steps leave no time to part from the uniform answer otherwise.
            teacher_temperature=(0.01, 0.01),
            momentum=0.95,
            targets="sinkhorn",
            head=(64,),
            prototypes=64,
            frozen_epochs=0.5,
            augment=Augment.upright(),
            local_augment=Augment.upright(),
        ),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=3e-3, warmup=0.1, weight_decay=1e-4, clip_parameter=3.0),
        train=Train(batch=64, steps=400, checkpoint_every=50),
    )


def vit() -> Recipe:
    windows = replace(Augment(), translation=0.0, scale=(1.0, 1.0), aspect=(3 / 4, 4 / 3))
    return Recipe(
        name="dino:vit",
        model=replace(ViT.small(), drop_path=0.1, layer_scale=1e-5, remat=True, scan=True),
        method=dino.Options(
            local_views=8,
            local_size=(96, 96),
            teacher_temperature=(0.04, 0.07),
            momentum=0.992,
            targets="sinkhorn",
            head=(2048, 2048, 256),
            prototypes=65536,
            koleo=0.1,
            ibot=1.0,
            augment=replace(windows, crop=(0.32, 1.0)),
            local_augment=replace(windows, crop=(0.05, 0.32)),
        ),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("adamw", lr=1e-3, warmup=0.1, weight_decay=0.04, weight_decay_end=0.4, clip_norm=3.0),
        train=Train(batch=512, epochs=100, precision="bfloat16"),
    )


def tiny() -> Recipe:
    return Recipe(
        name="dino:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        # Warm: sharp temperatures enlarge rounding, which tests in float32 compare.
        method=dino.Options(
            local_views=2,
            local_size=(8, 8),
            temperature=0.3,
            teacher_temperature=(0.1, 0.2),
            head=(16, 8),
            prototypes=24,
            frozen_epochs=0.25,
            block=10,
        ),
        data=Data(layout=Layout((32, 24), 4.0)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_b, small, vit, tiny)
