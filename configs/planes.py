"""Imaging planes from geometry alone, as in study C (Zhang et al. 2024, arXiv 2403.16499).

    jaxssl pretrain planes --data.store stores/cine --workdir runs/planes
    jaxssl pretrain planes:small --data.store stores/phantom --workdir runs/planes-small
    jaxssl pretrain planes:knee --data.store stores/knee --workdir runs/planes-knee

study_c: the study's own numbers; one random image of each subject an epoch, 500 epochs. Its result is *not run* here;
*published* (study C): both tasks help segmentation and classification, together most, above all with few labels. The
network is that of the study's code, whose decoder is not normalised. What is ours: augmentation (the code defines one
and does not apply it), no dropout before the place in the stack (the code has .5), a constant learning rate (the code
begins at .3 of it and goes to .3 of that every 100 epochs).
small: a small U-Net on the phantom; its time and its result are *not run*.
knee: the place of a sagittal slice between the inner and the outer side of a knee, without lines and decoder.
tiny: seconds, for tests.
"""

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import planes
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim

GUESTS = ("2ch", "4ch")


def study_c() -> Recipe:
    return Recipe(
        name="planes",
        model=UNet.study_c(),
        method=planes.Options(augment=Augment.upright()),
        data=Data(layout=Layout((224, 224), 1.26), guests=GUESTS, plan="one_per_subject"),
        optim=Optim("adamw", lr=1e-3, schedule="constant"),
        train=Train(batch=20, epochs=500, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="planes:small",
        model=UNet.small(),
        method=planes.Options(augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0), guests=GUESTS),
        optim=Optim("adamw", lr=2e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=32, steps=400, checkpoint_every=50),
    )


def knee() -> Recipe:
    return Recipe(
        name="planes:knee",
        model=UNet.small(),
        method=planes.Options(lines=0.0, augment=Augment.upright()),
        data=Data(store="stores/knee", layout=Layout((80, 80), 2.0), views=("sagittal",)),
        optim=Optim("adamw", lr=2e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=32, steps=400, checkpoint_every=50),
    )


def tiny() -> Recipe:
    return Recipe(
        name="planes:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        # Images of few mm: lines that do not fill them, motions that do not lose them.
        method=planes.Options(sigma=3.0, hidden=(8,), augment=Augment(translation=5.0)),
        data=Data(layout=Layout((32, 24), 4.0), guests=GUESTS),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_c, small, knee, tiny)
