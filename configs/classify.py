"""Classification of patients and of images, from scratch or from a pretrained encoder, fine-tuned or frozen, as in
study A (Nakashima et al. 2022, arXiv 2205.12429) and in study D (Fu et al. 2022, arXiv 2208.10642).

    jaxssl finetune classify --data.store stores/cine --init.run runs/simclr-a --workdir runs/diagnosis
    jaxssl finetune classify --method.freeze-encoder --init.run runs/simclr-a --workdir runs/linear
    jaxssl finetune classify --data.store stores/cine-segmented --data.masks --method.input box --workdir runs/b
    jaxssl finetune classify:study_d --init.run runs/awcl --workdir runs/planes
    jaxssl finetune classify:small --data.store stores/phantom --init.run runs/mim-small --workdir runs/group-small

study_a: its DenseNet-121 on ED and ES of a slice, 224 x 224 pixels of 1.5 mm, its views, AdamW, learning rate, weight
decay, batch, epochs and class weights; *not run*. It differs from the study in that all slices with both take part,
and a patient's answer is the mean of their probabilities, where the study has the middle slice; that a view changes ED
and ES alike; and in intensities in units of the subject's standard deviation. The cosine is ours. The study's linear
layer to 2048 numbers is left behind: two linear layers in a row say no more than the one of the classes.
`--method.input` takes its input styles, but with a box for what hides the heart, and with masks that `jaxssl segment`
has predicted; swapped needs `--data.partners subject` as well. A batch of 256 is more than small sets have: lower it
with `--train.batch`.
study_a_vgg: the same with its other encoder, VGG-16, here with batch normalisation; *not run*.
study_d: the planes of a fetal ultrasound set by its ResNet-18, an answer for each image; *not run*. The study says
little of how it was fine-tuned: the numbers are those of its pretraining.
small: the diagnostic group by the encoder of the other recipes' `small`, on the phantom; 75 seconds of CPU time.
*Measured* from scratch on 64 synthetic subjects, 38 of them trained on (commit 922fa03, 2 CPU cores, seeds 0-2,
19 test subjects): AUROC .994, .997 and .980, balanced accuracy .96, 1.00 and .96, where .5 and .2 are chance.
tiny: seconds, for tests.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import classify
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.recipe import Init, Recipe, load_recipe, variants
from jaxssl.train.loop import Train
from jaxssl.train.optim import Optim

ENCODER = Init(parts=("encoder",))
"""A classifier has no decoder to put one in."""


def study_a() -> Recipe:
    return Recipe(
        name="classify",
        model=replace(DenseNet.densenet121(), norm=Norm(group=32), remat=True),
        method=classify.Options(augment=Augment.study_a()),
        data=Data(layout=Layout((224, 224), 1.5), label="group", plan="ed_es"),
        optim=Optim("adamw", lr=1e-4, weight_decay=1e-4),
        train=Train(batch=256, epochs=200, precision="bfloat16"),
        init=ENCODER,
    )


def study_a_vgg() -> Recipe:
    return replace(study_a(), name="classify:study_a_vgg", model=replace(VGG.vgg16_bn(), norm=Norm(group=32)))


def study_d() -> Recipe:
    pretraining = load_recipe("awcl")
    return Recipe(
        name="classify:study_d",
        model=pretraining.model,
        method=classify.Options(augment=Augment.study_d()),
        data=pretraining.data,
        optim=pretraining.optim,
        train=pretraining.train,
        init=ENCODER,
    )


def small() -> Recipe:
    return Recipe(
        name="classify:small",
        model=UNet.small(),
        method=classify.Options(augment=Augment.upright()),
        data=Data(layout=Layout((80, 80), 2.0), label="group", plan="ed_es"),
        optim=Optim("adamw", lr=2e-3, warmup=0.1, weight_decay=1e-2),
        train=Train(batch=16, steps=250, checkpoint_every=50),
        init=ENCODER,
    )


def tiny() -> Recipe:
    return Recipe(
        name="classify:tiny",
        model=UNet(widths=(4, 8), norm=Norm(group=8)),
        method=classify.Options(),
        data=Data(layout=Layout((32, 24), 4.0), label="group", plan="ed_es"),
        train=Train(batch=8, steps=4, log_every=1, checkpoint_every=2),
        init=ENCODER,
    )


get_config = variants(study_a, study_a_vgg, study_d, small, tiny)
