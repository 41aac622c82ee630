"""Masked image modelling on cine short-axis slices, as in study B (de Mooij et al. 2024, arXiv 2409.18100).

    jaxssl pretrain mim --data.store stores/cine --workdir runs/mim
    jaxssl pretrain mim:small --data.store stores/phantom --workdir runs/mim-small

study_b: the study's own numbers; 48 of 64 patches of 32 x 32 pixels hidden, 100 epochs (schedule and weight decay are
those of its fine-tuning, as we know of no others). Its result is *not run* here;
*published* (study B): with 10 labelled subjects .86 mean 3D Dice, .82 from scratch; no gain with all labels.
small: a small U-Net on the phantom; two to four minutes on 2 CPU cores. *Measured* on 40 synthetic subjects (commit
771199e, 2 CPU cores): segmentation from 2 labelled subjects .886 mean Dice after it, .894 from scratch (one seed, 12
test subjects, 95% interval of the difference -.021 to +.006).
simmim: a ViT-B/16 that fills hidden tokens in by one linear layer (Xie et al. 2022, arXiv 2111.09886), with the
published settings for it: 32-pixel cells, .6 of them hidden (38 of 64; the authors round up), absolute error, crops of
.67 to 1, AdamW at 1e-4 for each 512 samples, weight decay .05, 10 of 800 epochs to warm up, drop path .1. Learnt
positions stand in for shared relative ones, a cosine for one drop of the learning rate. *Not run*.
tiny: seconds, for tests.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import mim
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.models.vit import ViT
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_b() -> Recipe:
    return Recipe(
        name="mim",
        model=UNet(norm=Norm(group=128)),
        method=mim.Options(patch=32, ratio=0.75),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim(
            "sgd", lr=0.01, schedule="polynomial", momentum=0.99, nesterov=True, weight_decay=3e-5, decay="all"
        ),
        train=Train(batch=128, epochs=100, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="mim:small",
        model=UNet.small(),
        method=mim.Options(patch=10, ratio=0.6, augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=2e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=32, steps=400, checkpoint_every=50),
    )


def simmim() -> Recipe:
    return Recipe(
        name="mim:simmim",
        model=replace(ViT.base(), drop_path=0.1, scan=True, remat=True),
        method=mim.Options(patch=32, ratio=0.6, fill="token", error="l1", augment=Augment.windows(0.67)),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("adamw", lr=2e-4, warmup=0.0125, weight_decay=0.05),
        train=Train(batch=1024, epochs=800, precision="bfloat16"),
    )


def tiny() -> Recipe:
    return Recipe(
        name="mim:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=mim.Options(patch=4),
        data=Data(layout=Layout((32, 24), 4.0)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_b, small, simmim, tiny)
