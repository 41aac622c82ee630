"""SimCLR on cine short-axis slices, as in study B (de Mooij et al. 2024, arXiv 2409.18100) and in study A (Nakashima et
al. 2022, arXiv 2205.12429).

    jaxssl pretrain simclr --data.store stores/cine --workdir runs/simclr
    jaxssl pretrain simclr:study_a --data.store stores/cine --workdir runs/simclr-a
    jaxssl segment runs/segment --store stores/cine --out stores/cine-segmented
    jaxssl pretrain simclr:study_a --data.store stores/cine-segmented --data.masks --method.input heart --workdir runs/h
    jaxssl pretrain simclr:small --data.store stores/phantom --workdir runs/simclr-small

study_b: the study's own numbers; 100 epochs of 90,618 slices. Its result is *not run* here; *published* (study B): no
gain over training from scratch with all labels (.89 mean 3D Dice either way).
study_a: its DenseNet-121 with a representation of 2048, projector, temperature, views, AdamW and learning rate; *not
run*. The cosine is ours, and the weight decay the study's of fine-tuning. It differs from the study in all slices of ED
and ES taking part instead of the middle one, in intensities in units of the subject's standard deviation, and in
starting from scratch where its code starts from ImageNet. `--method.input` takes its input styles; swapped needs
`--data.partners subject`. `segment:densenet121` takes such an encoder over.
study_a_vgg: the same with its other encoder, VGG-16, here with batch normalisation, and one linear layer from the
pooled map to the representation; *not run*. `segment:vgg16` takes such an encoder over.
study_d: what the awcl recipe is where no image has a label, for study D (Fu et al. 2022, arXiv 2208.10642); *not run*.
small: a small U-Net on the phantom; its time and its result are *not run*.
vit: ViT-S/16 in place of the U-Net, its blocks looped over and recomputed, with the optimiser of MoCo v3 (Chen et al.
2021: AdamW, lr 1.5e-4 for each 256 samples, weight decay .1, warm-up of 40 epochs in 300); *not run*.
tiny: seconds, for tests.
"""

from dataclasses import fields, replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import simclr
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.recipe import Recipe, load_recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim


def study_b() -> Recipe:
    return Recipe(
        name="simclr",
        model=UNet(norm=Norm(group=224)),
        method=simclr.Options(),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("sgd", lr=0.1, schedule="cosine", momentum=0.9, weight_decay=1e-4, decay="all"),
        train=Train(batch=224, epochs=100, precision="bfloat16"),
    )


def study_a() -> Recipe:
    return Recipe(
        name="simclr:study_a",
        model=replace(DenseNet.densenet121(), norm=Norm(group=256), representation=(2048,), remat=True),
        method=simclr.Options(projector=(2048, 128), projector_norm=True, augment=Augment.study_a()),
        data=Data(layout=Layout((224, 224), 1.5), moments=("ED", "ES")),
        optim=Optim("adamw", lr=1e-4, weight_decay=1e-4),
        train=Train(batch=256, epochs=200, precision="bfloat16"),
    )


def study_a_vgg() -> Recipe:
    vgg = replace(VGG.vgg16_bn(), norm=Norm(group=256), representation=(2048,))
    return replace(study_a(), name="simclr:study_a_vgg", model=vgg)


def study_d() -> Recipe:
    labelled = load_recipe("awcl")
    own = {option.name: getattr(labelled.method, option.name) for option in fields(simclr.Options)}
    data = replace(labelled.data, label=None)
    return replace(labelled, name="simclr:study_d", method=simclr.Options(**own), data=data)


def small() -> Recipe:
    return Recipe(
        name="simclr:small",
        model=UNet.small(),
        method=simclr.Options(projector=(128, 128, 64), augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0)),
        optim=Optim("adamw", lr=1e-3, warmup=0.1, weight_decay=1e-4),
        train=Train(batch=64, steps=400, checkpoint_every=50),
    )


def vit() -> Recipe:
    return Recipe(
        name="simclr:vit",
        model=replace(ViT.small(), remat=True, scan=True),
        method=simclr.Options(),
        data=Data(layout=Layout((256, 256), 1.25)),
        optim=Optim("adamw", lr=3e-4, warmup=0.13, weight_decay=0.1),
        train=Train(batch=512, epochs=300, precision="bfloat16"),
    )


def tiny() -> Recipe:
    return Recipe(
        name="simclr:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=simclr.Options(projector=(8, 8)),
        data=Data(layout=Layout((32, 24), 4.0)),
        train=Train(batch=8, steps=4, log_every=1, probe_every=0, checkpoint_every=2),
    )


get_config = variants(study_b, study_a, study_a_vgg, study_d, small, vit, tiny)
