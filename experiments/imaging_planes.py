"""Does it help to learn from how images lie in the patient, and with how many labels? Study C (Zhang, Wei, Zhu, Gu and
Zheng 2024, arXiv 2403.16499), on hearts and knees.

    jaxssl ablate experiments/imaging_planes.py --workdir sweeps/planes                       # phantoms, some minutes
    jaxssl ablate experiments/imaging_planes.py --workdir sweeps/planes --list
    jaxssl ablate experiments/imaging_planes.py --workdir sweeps/c --scale paper --hearts stores/kaggle \
        --labelled stores/acdc --weights resnet18.safetensors --points "*/heart-*" "*/resnet18-*"
    jaxssl ablate experiments/imaging_planes.py --workdir sweeps/knees --scale paper --knees stores/mrnet \
        --finding acl --unlabelled-knees stores/oai

Published: to find the lines in which other views cut an image (orientation), and its place in its stack (location),
both help, together most, and most where labels are few. Classification of knees with 80 and 800 labelled subjects, as a
secondary source has it: nothing .433 and .562, ImageNet .682 and .824, SimCLR .698 and .800, BYOL .577 and .753, MAE
.548 and .624, location .740 and .815. In the published code values above 255 wrap, the spacings of rows and columns are
exchanged, and the augmentation is not applied: nothing of that is repeated.

Arms, on the U-Net of the recipe `planes`: from scratch, SimCLR, BYOL, masked image modelling (mim), orientation,
location, and both. The decoder is taken over where there is one: from mim, orientation and both. Each at every number
of labelled subjects and for every seed, which draws the subjects and the start; pretraining is one for all, and all
pretrainings of a scale take as many steps.
MAE leaves patches out, which no convolution can: it has a ViT, and beside it stand scratch and both on that ViT. Of
natural images no weights are known for the U-Net: with `--weights`, a ResNet-18 in the names of torchvision or timm,
the arm imported stands beside scratch and both on a ResNet-18; without them it is not there. U-Nets of other widths
have scratch and both, at the fewest labels.

Hearts are pretrained on one set, `--hearts`, all of it, and fine-tuned on another, `--labelled`: a test subject whose
images pretraining has seen is refused, by whatever name. Segmentation is the study's task, the diagnosis is ours.
Knees are pretrained on sagittal images, which coronal ones cut in lines: on those of `--unlabelled-knees`, as OAI, or
else on the training subjects of the set that they are fine-tuned on. Where a set, of knees as of hearts, does not say
where images of both views lie, as MRNet, there is location alone, also in place of both. Their tasks are `--finding`,
and segmentation where the set has masks, which no set of knees that jaxssl reads has. Points are judged by validation
subjects; `--on test`, once nothing is left to choose, asks the test subjects of the same runs.

smoke: 20 synthetic hearts to pretrain on, 20 others and 16 synthetic knees to fine-tune on, the recipes' variants for
tests but a whole ResNet-18, one seed, one number of labels: shows that the machinery works and no more. Its 50 points
took 40 minutes on one core of a busy CPU (*measured* at 6e35d79).
small: 80 x 80 pixels of 2 mm (ResNet-18: 96 x 96), small networks, three seeds, on 120 synthetic hearts and knees or
on stores; *not run*.
paper: the study's U-Net, 224 x 224 pixels of 1.26 mm, ViT-B/16 for MAE, one random image a subject an epoch, and the
steps of the study's 500 epochs, which are 28,500 for 1,140 hearts in batches of 20. Other methods have the optimisers
and batches of their recipes, which are of other studies: in as many steps they see 6 to 13 times as many images, so
that a gain of planes is owed neither to more steps nor to more images. Knees have pixels of .7 mm, ours. 4 subjects
with masks and 80 with a finding are the study's fewest, other numbers ours: all of MRNet are 750, the study's 800; *not
run*.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jaxssl.data.guests import placed_guests
from jaxssl.data.source import Part
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.sweep import Cohort, CommonSetting, Options, Point, Scale, Stage, fine_tuning, judged, of_scale

SEGMENTATION, CLASSIFICATION = TASKS = "segmentation", "classification"

ARMS: Mapping[str, tuple[str, Options]] = {
    **{name: (name, {}) for name in ("simclr", "byol", "mim", "mae")},
    "orientation": ("planes", {"method.location": 0.0}),
    "location": ("planes", {"method.lines": 0.0}),
    "both": ("planes", {}),
}
"""The recipe that pretrains, and what it is told; of the arms scratch and imported there is none."""
WITHOUT_LINES = ("scratch", "simclr", "byol", "mim", "location")
WITH_LINES = ("scratch", "simclr", "byol", "mim", "orientation", "location", "both")


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    variant: str
    """Of the recipes of pretraining."""
    tuned: Mapping[str, str]
    """The recipe of each task."""
    subsets: Mapping[str, tuple[int | None, ...]]
    """Labelled subjects for each task, the fewest first; None for all."""
    widths: Mapping[str, float]
    """Channels of other U-Nets, in units of the study's."""
    widened: tuple[str, ...]
    """Tasks of a region that they have."""
    by_network: Mapping[str, Options]
    """A decoder for the ViT, and images for the ResNet-18 whose sides 32 divides."""
    by_recipe: Mapping[str, Options] = field(default_factory=dict)
    of_knees: Options = field(default_factory=dict)
    """Pixels of images that show less of a body than those of hearts."""


PIXELS = {"data.layout.size": (224, 224), "data.layout.spacing": 1.26}
# The study's 500 epochs, of one image each of so many hearts.
STEPS = 500 * 1140 // 20
SCALES = {
    "smoke": Setting(
        variant=":tiny",
        tuned={SEGMENTATION: "segment:tiny", CLASSIFICATION: "classify:tiny"},
        subsets={SEGMENTATION: (4,), CLASSIFICATION: (None,)},
        widths={"width-half": 0.5},
        widened=("heart-segmentation",),
        by_network={"vit": {"model.decoder_widths": (4, 8)}, "resnet18": {"data.layout.size": (32, 32)}},
        seeds=1,
        phantoms={
            "hearts": Stage("phantom", "cine", {"subjects": 20, "phases": 2, "slices": 6, "seed": 1}),
            "labelled": Stage("phantom", "cine", {"subjects": 20, "phases": 2, "slices": 6}),
            "knees": Stage("phantom", "knee", {"subjects": 16, "slices": 4}),
        },
    ),
    "small": Setting(
        variant=":small",
        tuned={SEGMENTATION: "segment:small", CLASSIFICATION: "classify:small"},
        subsets={SEGMENTATION: (2, 8, None), CLASSIFICATION: (10, 30, None)},
        widths={"width-half": 0.5, "width-double": 2.0},
        widened=("heart-segmentation", "knee-classification"),
        by_network={"vit": {"model.decoder_widths": (16, 32, 64)}, "resnet18": {"data.layout.size": (96, 96)}},
        seeds=3,
        phantoms={
            "hearts": Stage("phantom", "cine", {"subjects": 120, "seed": 1}),
            "labelled": Stage("phantom", "cine", {"subjects": 120}),
            "knees": Stage("phantom", "knee", {"subjects": 120}),
        },
        pretraining={"train.batch": 64, "train.steps": 4000, "train.checkpoint_every": 500},
        finetuning={"train.steps": 1000, "train.checkpoint_every": 250},
    ),
    "paper": Setting(
        variant="",
        tuned={SEGMENTATION: "segment:study_c", CLASSIFICATION: "classify"},
        subsets={SEGMENTATION: (4, 8, 16, 32, None), CLASSIFICATION: (20, 80, None)},
        widths={"width-half": 0.5, "width-double": 2.0},
        widened=("heart-segmentation", "knee-classification"),
        by_network={"vit": {"model.decoder_widths": (32, 64, 128, 256)}, "resnet18": {}},
        seeds=3,
        pretraining={
            **PIXELS,
            "data.moments": (),
            "data.plan": "one_per_subject",
            "train.epochs": None,
            "train.steps": STEPS,
        },
        by_recipe={
            # Batches of which few subjects still give some; MAE's learning rate is 1.5e-4 for each 256 samples.
            "mae": {"train.batch": 256, "optim.lr": 1.5e-4},
            "classify": {**PIXELS, "data.layout.spacing": 1.367, "train.batch": 32},
        },
        # About the whole of an examination, as images whose spacing nobody knows, MRNet's, are fitted in whole.
        of_knees={"data.layout.spacing": 0.7},
    ),
}


@dataclass(frozen=True)
class Network:
    """What arms meet on: the network of a recipe."""

    recipe: str
    name: str = ""
    own: tuple[str, ...] = ()
    """Arms that it has besides scratch and the last of a region; the study's U-Net has all."""
    options: Options = field(default_factory=dict)
    is_width: bool = False

    def of(self, recipe: str) -> str:
        """The recipe on it."""
        return recipe if recipe == self.recipe else f"{recipe}@{self.recipe}"


@dataclass(frozen=True)
class Region:
    """A part of the body: what pretraining sees of it, whose labels are learnt, and what for."""

    name: str
    unlabelled: Options
    guests: tuple[str, ...]
    """Views that cut the images in lines; none where it is not known how they lie."""
    cohort: Cohort
    label: str
    tasks: tuple[str, ...]
    all: Options = field(default_factory=dict)
    pixels: Options = field(default_factory=dict)
    """Where they are not those of the scale."""

    @property
    def arms(self) -> tuple[str, ...]:
        """On the U-Net; the last is had by other networks as well."""
        return WITH_LINES if self.guests else WITHOUT_LINES


def sweep(
    scale: Scale = "smoke",
    hearts: Path | None = None,
    labelled: Path | None = None,
    heart_split: Path | None = None,
    knees: Path | None = None,
    unlabelled_knees: Path | None = None,
    knee_split: Path | None = None,
    finding: str = "group",
    weights: Path | None = None,
    on: Part = "validation",
) -> Iterator[Point]:
    """The points of study C.

    Args:
        scale: Minutes on two cores, hours on one GPU, or the study's own numbers.
        hearts: Cine MR to pretrain on, short axis with two and four chambers; synthetic unless any store is given.
        labelled: Short-axis cine MR of other subjects with masks in ED and ES, to fine-tune on.
        heart_split: A folder that `jaxssl data split` has made of the labelled hearts; a new one unless given.
        knees: Sagittal knee MR, to fine-tune on.
        unlabelled_knees: That of others, to pretrain on; the training subjects of the knees unless given.
        knee_split: A folder that `jaxssl data split` has made of the knees; a new one unless given.
        finding: The label of the knees that is learnt: abnormal, acl or meniscus in MRNet.
        weights: ImageNet weights of a ResNet-18; without them there is no arm imported.
        on: Whom the runs are judged by: test subjects once nothing is left to choose.
    """
    setting = of_scale(scale, SCALES)
    if weights is not None and not weights.is_file():
        raise UserError(f"There is no file {weights}: give --weights a safetensors file, or leave it out.")
    if (heart_split and not labelled) or ((knee_split or unlabelled_knees) and not knees):
        raise UserError(
            "--heart-split goes with --labelled, --knee-split and --unlabelled-knees with --knees: give these as well."
        )
    if hearts or labelled or knees:
        setting = replace(setting, phantoms={})
    regions = [
        *_hearts(setting, hearts, labelled, heart_split),
        *_knees(setting, knees, unlabelled_knees, knee_split, finding),
    ]
    if not regions:
        raise UserError("This scale is for real data: give --hearts and --labelled, or --knees, or all three.")
    design = Design(setting, weights, on)
    for network, region in itertools.product(design.networks(), regions):
        arms = ("scratch", *network.own, region.arms[-1]) if network.name else region.arms
        for task in region.tasks:
            for subjects in design.subsets(network, region, task):
                yield from design.points(region, task, network, arms, subjects)


@dataclass(frozen=True)
class Design:
    """How the points are reached."""

    setting: Setting
    weights: Path | None
    on: Part

    def networks(self) -> Iterator[Network]:
        """The study's U-Net first."""
        setting, unet = self.setting, f"planes{self.setting.variant}"
        yield Network(unet)
        for name, factor in setting.widths.items():
            widths = tuple(round(factor * width) for width in load_recipe(unet).model.widths)
            yield Network(unet, name, options={"model.widths": widths}, is_width=True)
        # The optimiser of segment:vit; MAE itself keeps its own.
        tuned = {"optim.lr": 5e-4, "optim.warmup": 0.1, "optim.weight_decay": 0.05, "optim.clip_norm": 1.0}
        yield Network(f"mae{setting.variant}", "vit", ("mae",), {**setting.by_network["vit"], **tuned})
        yield Network("awcl", "resnet18", ("imported",) if self.weights else (), setting.by_network["resnet18"])

    def subsets(self, network: Network, region: Region, task: str) -> tuple[int | None, ...]:
        """Labelled subjects that a network is asked at."""
        known = region.cohort.labelled(self.setting.subsets[task])
        if not network.is_width:
            return known
        return known[:1] if f"{region.name}-{task}" in self.setting.widened else ()

    def points(
        self, region: Region, task: str, network: Network, arms: Sequence[str], subjects: int | None
    ) -> Iterator[Point]:
        """A fine-tuning for every arm and seed, and its judgement."""
        setting, recipe = self.setting, self.setting.tuned[task]
        asked = "-".join(filter(None, (network.name, region.name, task)))
        common = {
            **region.cohort.options,
            **region.all,
            **({"data.label": region.label} if task == CLASSIFICATION else {}),
            **setting.finetuning,
            **setting.by_recipe.get(recipe, {}),
            **region.pixels,
            **network.options,
            "data.subjects": subjects,
        }
        for arm, seed in itertools.product(arms, range(setting.seeds)):
            name = f"{arm}/{asked}/{subjects or 'all'}-labelled/seed-{seed}"
            options = {**common, **self._beginning(region, network, arm)}
            yield judged(name, fine_tuning(__file__, name, network.of(recipe), seed, options), self.on)

    def _beginning(self, region: Region, network: Network, arm: str) -> Options:
        """What is taken over; the pretraining is one for all labels, tasks and seeds."""
        if arm not in ARMS:
            return {"init.weights": self.weights.absolute()} if arm == "imported" and self.weights else {}
        setting, (recipe, told) = self.setting, ARMS[arm]
        options = {
            **region.unlabelled,
            **region.all,
            **setting.pretraining,
            **setting.by_recipe.get(recipe, {}),
            **region.pixels,
            **({**told, "data.guests": region.guests, **network.options} if recipe == "planes" else {}),
        }
        label = " ".join(filter(None, (arm, network.name, region.name)))
        start = {"init.run": Stage("pretrain", network.of(f"{recipe}{setting.variant}"), options, label=label)}
        # MAE's decoder is one of its own, of patches.
        return {**start, "init.parts": ("encoder",)} if recipe == "mae" else start


def _hearts(setting: Setting, hearts: Path | None, labelled: Path | None, split: Path | None) -> Iterator[Region]:
    """The region, if it is asked for."""
    if (hearts is None) != (labelled is None):
        raise UserError("Hearts are pretrained on --hearts and fine-tuned on other subjects, --labelled: give both.")
    if hearts is None and not setting.phantoms:
        return
    seen = _everybody(hearts.absolute() if hearts else setting.phantoms["hearts"])
    tasks = _tasks(labelled, "group")
    by = "group" if CLASSIFICATION in tasks else None
    cohort = setting.cohort(labelled, split, "labelled", by=by)
    guests = _guests(hearts, "sax", ("2ch", "4ch"))
    yield Region("heart", seen, guests, cohort, "group", tasks)


def _knees(
    setting: Setting, knees: Path | None, unlabelled: Path | None, split: Path | None, finding: str
) -> Iterator[Region]:
    """The region, if it is asked for."""
    if knees is None and not setting.phantoms:
        return
    tasks = _tasks(knees, finding)
    if CLASSIFICATION not in tasks:
        raise UserError(f"{knees} has no label {finding!r}; give --finding one that `jaxssl data info` lists.")
    cohort = setting.cohort(knees, split, "knees", by=finding)
    sagittal = {"data.views": ("sagittal",), "data.moments": (), "data.plan": "slices"}
    seen = _everybody(unlabelled.absolute()) if unlabelled else cohort.options
    guests = _guests(unlabelled or knees, "sagittal", ("coronal",))
    yield Region("knee", seen, guests, cohort, finding, tasks, sagittal, setting.of_knees)


def _everybody(store: Path | Stage) -> Options:
    """Of a set of which nobody is asked anything: all are trained on."""
    return {"data.store": store, "data.fractions": (1.0, 0.0, 0.0)}


def _guests(store: Path | None, view: str, guests: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are known to cut the images; phantoms know all."""
    return guests if store is None else placed_guests(open_store(store), view, guests)


def _tasks(store: Path | None, label: str) -> tuple[str, ...]:
    """What a store has the truth for; phantoms have it for everything."""
    if store is None:
        return TASKS
    info = open_store(store).info
    known = {SEGMENTATION: info.masked > 0, CLASSIFICATION: len(info.labels.get(label, ())) > 1}
    return tuple(task for task in TASKS if known[task])
