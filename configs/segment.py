"""Fine-tuning for cine segmentation from few labelled subjects, as in study B (de Mooij et al. 2024, arXiv 2409.18100).

    jaxssl finetune segment:study_b --data.store stores/cine --data.subjects 10 --init.run runs/mim --workdir runs/few
    jaxssl finetune segment:small --data.store stores/phantom --init.run runs/mim-small --workdir runs/few-small

study_b: the study's own numbers, 1,000 epochs. Its result is *not run* here; *published* (study B), 10 subjects: .82
mean 3D Dice from scratch, .86 after masked image modelling. From scratch its learning rate is .01: --optim.lr 0.01.
study_c: fine-tuning as in study C (Zhang et al. 2024, arXiv 2403.16499) by its U-Net: 1.367 mm, Adam at 1e-3, batch 10.
Ours are the size of the image, 300 epochs, a cosine where the study halves the learning rate every 50 epochs, Dice
beside its cross-entropy, and augmentation; *not run*.
small: a small U-Net on the phantom; 40 to 90 seconds on 2 CPU cores. *Measured* on 40 synthetic subjects, 2 of them
labelled (commit 771199e, 2 CPU cores, one seed, 12 test subjects): .894 mean Dice from scratch, .886 after mim:small.
resnet18, densenet121, vgg16: study_b with the encoders of awcl, of simclr:study_a and of simclr:study_a_vgg; *not run*.
A representation behind the pooled map is left behind.
study_d: structures in fetal ultrasound by the ResNet-18 of study D (Fu et al. 2022, arXiv 2208.10642), all frames that
have masks; *not run*. The study says little of how it was fine-tuned: the numbers are those of its pretraining, but for
100 epochs, which are ours, as sets with masks are smaller.
vit: ViT-S/16 with a convolutional decoder, tuned as ViTs are: AdamW, a tenth of the run to warm up, each layer learning
.75 times what the next does; from scratch --optim.layer-decay None; *not run*. It takes over the encoder of dino:vit as
it is, that of mae with --model.width 768 --model.heads 12 --model.positions sincos --model.layer-scale None.
tiny: seconds, for tests.
"""

from dataclasses import replace

from jaxssl.augment.options import Augment
from jaxssl.data.grid import Layout
from jaxssl.data.source import Data
from jaxssl.methods import segment
from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.unet import UNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT
from jaxssl.recipe import Recipe, load_recipe, variants
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


def resnet18() -> Recipe:
    model = replace(ResNet.resnet18(), norm=Norm(group=32))
    return replace(study_b(), name="segment:resnet18", model=model, method=segment.Options(scales=5))


def densenet121() -> Recipe:
    model = replace(DenseNet.densenet121(), norm=Norm(group=32), remat=True)
    return replace(study_b(), name="segment:densenet121", model=model, method=segment.Options(scales=5))


def vgg16() -> Recipe:
    model = replace(VGG.vgg16_bn(), norm=Norm(group=32))
    return replace(study_b(), name="segment:vgg16", model=model, method=segment.Options(scales=5))


def study_d() -> Recipe:
    pretraining = load_recipe("awcl")
    return replace(
        pretraining,
        name="segment:study_d",
        method=segment.Options(scales=5, augment=Augment.study_d()),
        # A decoder doubles what the encoder has halved: sides that 32 divides, for the study's 227.
        data=replace(
            pretraining.data, label=None, masks=True, layout=replace(pretraining.data.layout, size=(224, 224))
        ),
        train=replace(pretraining.train, epochs=100),
    )


def vit() -> Recipe:
    model = replace(ViT.small(), drop_path=0.1, layer_scale=1e-5, scan=True, decoder_widths=(32, 64, 128, 256))
    return replace(
        study_b(),
        name="segment:vit",
        model=model,
        method=segment.Options(scales=4),
        optim=Optim("adamw", lr=5e-4, warmup=0.1, weight_decay=0.05, layer_decay=0.75, clip_norm=1.0),
    )


def study_c() -> Recipe:
    return Recipe(
        name="segment:study_c",
        model=replace(UNet.study_c(), norm=Norm(group=10)),
        method=segment.Options(augment=Augment.upright()),
        data=Data(layout=Layout((224, 224), 1.367), masks=True, moments=("ED", "ES")),
        optim=Optim("adamw", lr=1e-3),
        train=Train(batch=10, epochs=300, precision="bfloat16"),
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


get_config = variants(study_b, resnet18, densenet121, vgg16, study_c, study_d, vit, small, tiny)
