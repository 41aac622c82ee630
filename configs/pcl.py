"""PCL (Zeng et al. 2021, arXiv 2106.09157) on cine short-axis slices, as in study B (de Mooij et al. 2024, arXiv
2409.18100).

    jaxssl pretrain pcl --data.store stores/cine --workdir runs/pcl
    jaxssl pretrain pcl:small --data.store stores/phantom --workdir runs/pcl-small

study_b: the study's own numbers; 100 epochs of 90,618 slices. Its result is *not run* here; *published* (study B): no
gain over training from scratch with all labels (.89 mean 3D Dice either way). Positions run from 0 at the base to 1 at
the apex in every stack; the study divides a slice's number by the number of slices, in the order of the file.
authors: the same with the threshold that Zeng et al. have on ACDC, .35; *not run*.
small: a small U-Net on the phantom; its time and its result are *not run*.
tiny: seconds, for tests; the second view is of another phase.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import pcl
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_b() -> Recipe:
    return Recipe(
        name="pcl",
        model=UNet(norm=Norm(group=64)),
        method=pcl.Options(),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("sgd", lr=0.1, schedule="cosine", momentum=0.9, weight_decay=1e-5, decay="all"),
        train=Train(batch=64, epochs=100, precision="bfloat16"),
    )


def authors() -> Recipe:
    return replace(study_b(), name="pcl:authors", method=pcl.Options(threshold=0.35))


def small() -> Recipe:
    return Recipe(
        name="pcl:small",
        model=UNet.small(),
        method=pcl.Options(projector=(128, 128, 64), augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=1e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=64, steps=400, checkpoint_every=50),
    )


def tiny() -> Recipe:
    return Recipe(
        name="pcl:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=pcl.Options(projector=(8, 8), learn_temperature=True, positives="other_subjects"),
        data=Data(layout=Layout((32, 24), 4.0), partners=("phase",)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_b, authors, small, tiny)
