"""BYOL on cine short-axis slices, with the numbers of study A (Nakashima et al. 2022, arXiv 2205.12429).

    jaxssl pretrain byol --data.store stores/cine --workdir runs/byol
    jaxssl pretrain byol:small --data.store stores/phantom --workdir runs/byol-small

study_a: the study's DenseNet-121, projector, predictor, teacher, views and learning rate; *not run*. It differs from
the study as simclr:study_a does (slices, intensities, schedule). `--method.rising` lets the momentum go to 1 (Grill et
al. 2020).
small: a small U-Net on the phantom; its time and its result are *not run*. In 400 steps the
teacher has to follow sooner.
tiny: seconds, for tests; its heads are not normalised, since so near the loss that enlarges rounding in float32.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import byol
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_a() -> Recipe:
    return Recipe(
        name="byol",
        model=replace(DenseNet.densenet121(), norm=Norm(group=256), representation=(2048,), remat=True),
        method=byol.Options(augment=Augment.study_a()),
        data=Data(layout=Layout((224, 224), 1.5), moments=("ED", "ES")),
        optim=Optim("adamw", lr=1e-4, weight_decay=1e-4),
        train=Train(batch=256, epochs=200, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="byol:small",
        model=UNet.small(),
        method=byol.Options(
            projector=(256, 64), predictor=(256, 64), momentum=0.9, rising=True, augment=Augment.upright()
        ),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=6e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=64, steps=400, checkpoint_every=50),
    )


def tiny() -> Recipe:
    return Recipe(
        name="byol:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=byol.Options(projector=(8, 4), projector_norm=False, predictor=(8, 4), momentum=0.9, rising=True),
        data=Data(layout=Layout((32, 24), 4.0)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_a, small, tiny)
