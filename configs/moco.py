"""MoCo v2 on cine short-axis slices, with the numbers of study A (Nakashima et al. 2022, arXiv 2205.12429).

    jaxssl pretrain moco --data.store stores/cine --workdir runs/moco
    jaxssl pretrain moco:small --data.store stores/phantom --workdir runs/moco-small

study_a: the study's DenseNet-121, queue, temperature, key encoder, views and learning rate; *not run*. It differs from
the study as simclr:study_a does (slices, intensities, schedule); the head, which the study's code never calls, is used
here.
small: a small U-Net on the phantom; its time and its result are *not run*. In 400 steps the key
encoder has to follow sooner.
tiny: seconds, for tests.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import moco
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_a() -> Recipe:
    return Recipe(
        name="moco",
        model=replace(DenseNet.densenet121(), norm=Norm(group=256), representation=(2048,), remat=True),
        method=moco.Options(augment=Augment.study_a()),
        data=Data(layout=Layout((224, 224), 1.5), moments=("ED", "ES")),
        optim=Optim("adamw", lr=1e-4, weight_decay=1e-4),
        train=Train(batch=256, epochs=200, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="moco:small",
        model=UNet.small(),
        method=moco.Options(
            projector=(128, 64),
            # In a phantom's few images a long queue would hold each slice several times, to be repelled by itself.
            queue=128,
            negatives="other_slices",
            momentum=0.9,
            augment=Augment.upright(),
        ),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=3e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=64, steps=400, checkpoint_every=50),
    )


def tiny() -> Recipe:
    return Recipe(
        name="moco:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=moco.Options(temperature=0.5, projector=(32, 16), queue=48, momentum=0.9, negatives="other_subjects"),
        data=Data(layout=Layout((32, 24), 4.0)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_a, small, tiny)
