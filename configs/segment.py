"""Fine-tuning for cine segmentation from few labelled subjects, as in study B (de Mooij et al. 2024, arXiv 2409.18100).

    jaxssl finetune segment:study_b --data.store stores/cine --data.subjects 10 --init.run runs/mim --workdir runs/few
    jaxssl finetune segment:small --data.store stores/phantom --init.run runs/mim-small --workdir runs/few-small

study_b: the study's own numbers, 1,000 epochs. Its result is *not run* here; *published* (study B), 10 subjects: .82
mean 3D Dice from scratch, .86 after masked image modelling. From scratch its learning rate is .01: --optim.lr 0.01.
small: a small U-Net on the phantom; 40 seconds on 2 CPU cores. *Measured* on 40 synthetic subjects, 2 of them labelled
(commit f95fe54, 2 CPU cores, one seed, 12 test subjects): .854 mean Dice from scratch, .881 after mim:small.
tiny: seconds, for tests.
"""

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import segment
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.recipe import Recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_b() -> Recipe:
    return Recipe(
        name="segment",
        model=UNet(norm=Norm(group=32)),
        method=segment.Options(scales=6),
        data=Data(layout=Layout((256, 256), 1.25), masks=True, moments=("ED", "ES")),
        optim=Optim(
            "sgd", lr=0.005, schedule="polynomial", momentum=0.99, nesterov=True, weight_decay=3e-5, decay="all"
        ),
        train=Train(batch=32, epochs=1000, precision="bfloat16"),
    )


def small() -> Recipe:
    return Recipe(
        name="segment:small",
        model=UNet.small(),
        method=segment.Options(augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0), masks=True, moments=("ED", "ES"), subjects=2),
        optim=Optim("adamw", lr=5e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=16, steps=250, checkpoint_every=50),
    )


def tiny() -> Recipe:
    return Recipe(
        name="segment:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=segment.Options(),
        data=Data(layout=Layout((32, 24), 4.0), masks=True, moments=("ED", "ES")),
        train=Train(batch=8, steps=4, log_every=1, checkpoint_every=2),
    )


get_config = variants(study_b, small, tiny)
