"""AWCL on fetal ultrasound, with the numbers of study D (Fu et al. 2022, arXiv 2208.10642).

    jaxssl data ultrasound --out stores/ultrasound
    jaxssl pretrain awcl --workdir runs/awcl
    jaxssl pretrain awcl --method.ratio 0.5 --workdir runs/half-of-the-labels
    jaxssl pretrain awcl:small --workdir runs/awcl-small

study_d: the study's ResNet-18, images of 227 x 227 pixels, loss, head, ratio of 1 and optimiser, each plane a label of
its own; *not run*. It differs from the study in the pixels' size (.75 mm here, for all images alike), in the ranges of
its views, and in a weight decay apart from Adam's moments. `segment:resnet18` takes such an encoder over.
coarse: the same with planes joined by organ, which the study found worse; *not run*.
small: a small U-Net on the ultrasound phantom; its time and its result are *not run*.
tiny: seconds, for tests, on the cine phantom, with the subject's group as label.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import awcl
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim

ORGANS = {
    "head": ("transventricular", "transthalamic", "transcerebellar"),
    "face": ("profile", "nose_lips"),
    "heart": ("four_chamber", "lvot", "three_vessel", "three_vessel_trachea"),
    "abdomen": ("abdomen", "kidneys"),
    "limb": ("femur",),
    "spine": ("spine",),
}
"""The planes of the ultrasound phantom by organ."""
PLANES = tuple(plane for planes in ORGANS.values() for plane in planes)
STORE = "stores/ultrasound"
BY_ORGAN = tuple(f"{organ}={','.join(planes)}" for organ, planes in ORGANS.items())


def study_d() -> Recipe:
    return Recipe(
        name="awcl",
        model=replace(ResNet.resnet18(), norm=Norm(group=32)),
        method=awcl.Options(augment=Augment.study_d()),
        data=Data(store=STORE, layout=Layout((227, 227), 0.75), views=PLANES, label="plane"),
        optim=Optim("adamw", lr=1e-3, schedule="constant", weight_decay=1e-6),
        train=Train(batch=32, epochs=10, precision="bfloat16"),
    )


def coarse() -> Recipe:
    fine = study_d()
    return replace(fine, name="awcl:coarse", data=replace(fine.data, label_groups=BY_ORGAN))


def small() -> Recipe:
    return Recipe(
        name="awcl:small",
        model=UNet.small(),
        method=awcl.Options(projector=(128, 64), augment=Augment.study_d()),
        data=Data(store=STORE, layout=Layout((96, 96), 1.5), views=PLANES, label="plane"),
        optim=Optim("adamw", lr=1e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=32, steps=400, checkpoint_every=50),
    )


def tiny() -> Recipe:
    return Recipe(
        name="awcl:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=awcl.Options(projector=(8, 8), ratio=0.5, negatives="other_subjects"),
        data=Data(layout=Layout((32, 24), 4.0), label="group"),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_d, coarse, small, tiny)
