"""Does it help to tell a network where the heart is, in pretraining or in diagnosis? Study A (Nakashima et al. 2022,
arXiv 2205.12429), on the ED and ES images of short-axis cine MR.

    jaxssl ablate experiments/anatomy_prior.py --workdir sweeps/anatomy                      # phantom, some minutes
    jaxssl ablate experiments/anatomy_prior.py --workdir sweeps/anatomy --list
    jaxssl ablate experiments/anatomy_prior.py --workdir sweeps/acdc --scale small --store stores/acdc \
        --split splits/acdc --points "[rs]*/full/*/group/*" "[rs]*/heart/*/group/*"
    jaxssl ablate experiments/anatomy_prior.py --workdir sweeps/a --scale paper --store stores/acdc \
        --weights densenet121.safetensors --submit slurm --jobs 8 --slurm time=2880 gpus_per_node=1

Published: input in which the heart is localised greatly improves diagnosis; contrastive pretraining on cardiac images
generally beats end-to-end training and ImageNet, and looks at the heart more as people do; localising the heart in
*pretraining* has generally no significant effect.

Arms: START/INPUT/WAY. START is random, imported (the file of `--weights`, such as torchvision's of ImageNet; without
that keyword these points are not there), or simclr, moco or byol with what that was shown: full (the whole image),
heart (all else blacked out) or swapped (the heart before the background of another subject). INPUT is what the
classifier is shown: these three, or box, all but a black box about the heart. WAY is finetuned or linear, which leaves
the encoder as it came. Each for every target and seed; pretraining is one for all.

Targets are labels of the store: group, which is that of five in ACDC and in the phantom and the pathology in M&Ms, and
lvef, reduced below 50%, which `jaxssl data lvef` makes of the true masks. The study's private cohort cannot be had, and
its VGG-16 is left out; its images are the middle slice of ED and ES, ours all slices of both.

Where the heart is says a U-Net that was trained on the training subjects and their masks; its own point, segmenter,
says how well. Nobody is shown by a true mask, in training or in the test. The training subjects it has seen, so that
their masks are the better ones; what it misses of a heart beyond the box stays, and a slice in which it finds none is
shown whole.

Judged by AUROC, one against the rest. That of box is the shortcut score: what a network makes of all but the heart. The
study blackened the heart along its mask, whose outline remains and tells the group by itself. One box for ED and ES has
neither outline nor motion, but still sides and a place: of 150 synthetic hearts, in 6 slices and by true masks, the
outlines' areas in ED and ES tell the group with an AUROC of .98, the sides and places of the boxes with .94 (*measured*
by hand at 12c4b4c: logistic regression, 5 folds). So a high score is a shortcut only as far as the size of hearts does
not explain it, and on phantoms it shows none. Images that were cropped round the heart have no such score. Where the
whole image is shown, saliency says how much of what decides is the heart.
Points are judged by validation subjects; `--on test`, once nothing is left to choose, asks the test subjects of the
same runs.

smoke: 25 synthetic hearts, the recipes' variants for tests, one seed, and of all cells those that SMOKE names: shows
that the machinery works and no more. Its 27 points took 9 minutes, with the test subjects' questions, on a CPU
core beside other work (*measured* at 6572ffc).
small: 80 x 80 pixels of 2 mm, a small U-Net's encoder, three seeds, on 120 synthetic hearts or `--store`; *not run*.
paper: the study's DenseNet-121, heads, views and numbers on `--store`, ACDC in the study, whose official test set is a
`--split`; three seeds are ours; *not run*.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from jaxssl.data.source import Part
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.sweep import CommonSetting, Options, Point, Scale, Stage, fine_tuning, judged, of_scale

WHERE_THE_HEART_IS: Options = {"data.masks": True}
INPUTS: Mapping[str, Options] = {
    "full": {},
    "heart": {**WHERE_THE_HEART_IS, "method.input": "heart"},
    "swapped": {**WHERE_THE_HEART_IS, "method.input": "swapped", "data.partners": ("subject",)},
    "box": {**WHERE_THE_HEART_IS, "method.input": "box"},
}
WAYS: Mapping[str, Options] = {"finetuned": {}, "linear": {"method.freeze_encoder": True}}
SEGMENTER, LVEF = "segmenter/seed-0", "lvef"
METHODS = ("simclr", "moco", "byol")
PRETRAINED_ON = ("full", "heart", "swapped")
LOOKED_INTO = ("full", "swapped")
"""Whom of the classifiers saliency is asked of: those that answer from the whole image."""
SMOKE = (
    "random/*/group/*",
    "imported/full/*/group/*",
    "simclr-full/full/*/group/*",
    "simclr-full/heart/*/group/*",
    "simclr-full/box/*/group/*",
    "simclr-heart/full/*/group/*",
    "simclr-heart/heart/*/group/*",
    "simclr-swapped/swapped/finetuned/group/*",
    "moco-full/full/finetuned/group/*",
    "byol-full/full/finetuned/group/*",
    "random/*/finetuned/lvef/*",
    "simclr-full/full/finetuned/lvef/*",
)
"""Cells in which each start, each input in both places, both ways and both targets are met."""


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    segmenter: str
    pretrainer: str
    classifier: str
    """Variants of the recipes."""
    cells: tuple[str, ...] = ("*",)
    """Patterns of the names of its points."""
    targets: tuple[str, ...] | None = None
    """What these ask for; None for whatever the store has labels of."""
    segmenting: Options = field(default_factory=dict)


ENDS = {"data.moments": ("ED", "ES")}
FINDING_HEARTS = {
    "train.steps": 150,
    "train.checkpoint_every": 50,
    "optim.lr": 0.01,
    "method.augment.translation": 8.0,
    "method.augment.rotation": 10.0,
    "method.augment.scale": (0.9, 1.1),
    "method.augment.flip": 0.0,
}
"""In the four steps of a test a segmenter finds no heart, and all inputs would be one."""
SCALES = {
    "smoke": Setting(
        segmenter="tiny",
        pretrainer="tiny",
        classifier="tiny",
        seeds=1,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 25, "phases": 2, "slices": 6})},
        cells=SMOKE,
        targets=("group", LVEF),
        segmenting=FINDING_HEARTS,
    ),
    "small": Setting(
        segmenter="small",
        pretrainer="small",
        classifier="small",
        seeds=3,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 120})},
        fractions=(0.6, 0.1, 0.3),
        segmenting={"data.subjects": None, "train.steps": 1000, "train.checkpoint_every": 250},
        pretraining={"train.steps": 4000, "train.checkpoint_every": 500},
    ),
    "paper": Setting(
        segmenter="study_b",
        segmenting={"optim.lr": 0.01},
        pretrainer="study_a",
        classifier="study_a",
        seeds=3,
        # As many for the test as ACDC has.
        fractions=(0.53, 0.14, 0.33),
    ),
}


def sweep(
    scale: Scale = "smoke",
    store: Path | None = None,
    split: Path | None = None,
    on: Part = "validation",
    targets: tuple[str, ...] = ("group", "lvef"),
    weights: Path | None = None,
) -> Iterator[Point]:
    """The points of study A.

    Args:
        scale: Minutes on two cores, hours on one GPU, or the study's own numbers.
        store: Short-axis cine MR with masks in ED and ES; synthetic hearts unless given.
        split: A folder that `jaxssl data split` has made of that store; a new one unless given.
        on: Whom the runs are judged by: test subjects once nothing is left to choose.
        targets: What is diagnosed: labels of the store, and lvef, which is made where the store lacks it.
        weights: A safetensors file of the encoder for the arm imported: torchvision's or timm's, or of `jaxssl export`.
    """
    setting = of_scale(scale, SCALES)
    design = Design.begin(setting, store, split, targets, weights, on)
    yield judged(SEGMENTER, design.segmenter, on)
    cells = product(design.starts, INPUTS, WAYS, targets, range(setting.seeds))
    for start, shown, way, target, seed in cells:
        name = f"{start}/{shown}/{way}/{target}/seed-{seed}"
        if any(fnmatchcase(name, pattern) for pattern in setting.cells):
            yield design.point(name, start, shown, way, target, seed)


@dataclass(frozen=True)
class Design:
    """The data of the study, and how its points are reached."""

    setting: Setting
    segmenter: Stage
    hearts: Options
    """Of a recipe that learns from images whose hearts the segmenter has found."""
    starts: Mapping[str, Options]
    """What a classifier begins with, by the name of the arm."""
    on: Part

    @classmethod
    def begin(
        cls,
        setting: Setting,
        store: Path | None,
        split: Path | None,
        targets: tuple[str, ...],
        weights: Path | None,
        on: Part,
    ):
        """Take the data that are given, or make them; each group has its share in each part, where they are known."""
        labels = ("group", "vendor") if store is None else tuple(open_store(store).info.labels)
        known = [target for target in dict.fromkeys((*labels, LVEF)) if target in (setting.targets or (target,))]
        if unknown := [target for target in targets if target not in known]:
            raise UserError(
                f"--targets: nothing is asked of {unknown[0]!r} at this scale, whose targets on these data are "
                f"{', '.join(known)}; name some of them."
            )
        by = "group" if "group" in labels else None
        cohort = setting.cohort(store, split, by=by)
        missing = LVEF in targets and LVEF not in labels
        labelled = Stage("lvef", cohort.store) if missing else cohort.store
        finding = {**cohort.options, **setting.segmenting}
        segmenter = fine_tuning(__file__, SEGMENTER, f"segment:{setting.segmenter}", 0, finding)
        found = Stage("segment", segmenter, {"store": labelled})
        hearts = {**cohort.options, "data.store": found}
        starts: dict[str, Options] = {"random": {}}
        if weights is not None:
            starts["imported"] = {"init.weights": weights.absolute()}
        for method, shown in product(METHODS, PRETRAINED_ON):
            options = {**hearts, **ENDS, **setting.pretraining, **INPUTS[shown]}
            label = f"{method} shown {shown}"
            pretraining = Stage("pretrain", f"{method}:{setting.pretrainer}", options, label=label)
            starts[f"{method}-{shown}"] = {"init.run": pretraining}
        return cls(setting, segmenter, hearts, starts, on)

    def point(self, name: str, start: str, shown: str, way: str, target: str, seed: int) -> Point:
        """A classifier, its judgement, and where it looks."""
        options = {
            **self.hearts,
            **self.setting.finetuning,
            "data.label": target,
            **self.starts[start],
            **INPUTS[shown],
            **WAYS[way],
        }
        tuned = fine_tuning(__file__, name, f"classify:{self.setting.classifier}", seed, options)
        looked = [Stage("saliency", tuned, {"on": self.on})] if shown in LOOKED_INTO else []
        return judged(name, tuned, self.on, *looked)
