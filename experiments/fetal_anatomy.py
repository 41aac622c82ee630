"""Do labels of the anatomy help contrastive pretraining on fetal ultrasound, and which, and how many of them? Study D
(Fu et al. 2022, arXiv 2208.10642).

    jaxssl ablate experiments/fetal_anatomy.py --workdir sweeps/fetal                      # phantoms, some minutes
    jaxssl ablate experiments/fetal_anatomy.py --workdir sweeps/fetal --list
    jaxssl ablate experiments/fetal_anatomy.py --workdir sweeps/planes --scale small --points "*/planes/*"
    jaxssl ablate experiments/fetal_anatomy.py --workdir sweeps/d --scale paper --store stores/fetal_planes \
        --heads stores/hc18 --hearts stores/camus --submit slurm --jobs 8 --slurm time=2880 gpus_per_node=1

Published: fine labels are better than coarse ones, and more of them are better; a segmentation in another domain gains
13.8% over ImageNet and 7.1% over the best contrastive method.

Arms: from scratch; SimCLR; AWCL with coarse and with fine labels, each at five anatomy ratios: the share of images
whose label pretraining is told. SimCLR is the ratio 0 of both. At fine labels and ratio 1 also by whose images of the
same plane attract: anybody's, those of the same scan, or those of other scans. In these three the images of a subject
come one after the other, or hardly any would meet a positive of its own scan in its batch; what that does by itself
the arm awcl-any-scan shows against awcl-fine-1.0. Pretraining is one for all seeds of an arm: intervals do not speak of
another pretraining.

Tasks: the plane; which plane of the brain, the public stand-in for the study's third task, whose data are private; the
head's outline, in images of other women by other scanners; and another domain, hearts of adults. Fine-tuning trains the
whole network. AWCL has been told planes of all training subjects, also where fine-tuning is told those of few: in the
first two tasks it has seen more labels than SimCLR, and a gain there is not one at equal labels.

Public data stand in for the study's: FETAL_PLANES_DB, whose fine labels divide brains further than the coarse ones and
whose images of all other planes have no label, with HC18 and CAMUS; a task without its store has no points. Which
images are of one scan FETAL_PLANES_DB does not say: all of a patient count as one. An ImageNet arm is not here. The
study's published loss chose one rule for a whole batch by its first label; here each image has its own.

Points are judged by validation subjects; `--on test`, once nothing is left to choose, asks the test subjects of the
same runs.

smoke: 12 synthetic fetuses, 12 heads of others, 12 hearts in MR, the recipes' variants for tests, one ratio, one seed:
shows that the machinery works and no more. Its 28 points took 7 minutes on a CPU core beside other work (*measured* at
6572ffc).
small: 96 x 96 pixels of 1.5 mm, a small U-Net, three seeds, 10 labelled subjects, phantoms or `--store`; *not run*.
paper: the study's network, sizes, ratios and loss, as far as configs/awcl.py says, on `--store`; fine-tuned on all
training subjects; *not run*.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from jaxssl import config
from jaxssl.data.phantom.ultrasound.views import VIEWS
from jaxssl.data.source import Part
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
from jaxssl.sweep import Cohort, CommonSetting, Options, Point, Scale, Stage, fine_tuning, judged, of_scale

Labels = Literal["coarse", "fine"]


class Names(NamedTuple):
    """What data call that which the study asks for: a fine label and its coarse groups, and the views of each task."""

    label: str
    coarse: tuple[str, ...]
    planes: tuple[str, ...]
    brain: tuple[str, ...]
    heads: tuple[str, ...]
    hearts: tuple[str, ...]


PHANTOM = Names(
    "plane",
    load_recipe("awcl:coarse").data.label_groups,
    tuple(VIEWS),
    tuple(plane for plane, view in VIEWS.items() if view.organ == "head"),
    ("transthalamic",),
    ("4ch",),
)
PUBLIC = Names(
    "fine_plane",
    ("brain=Trans-cerebellum,Trans-thalamic,Trans-ventricular",),
    ("abdomen", "brain", "cervix", "femur", "other", "thorax"),
    ("brain",),
    ("head",),
    ("2ch", "4ch"),
)


class Task(NamedTuple):
    """What is asked of an encoder: by which recipe, of which store, and in which of its views."""

    name: str
    recipe: str
    store: Literal["planes", "heads", "hearts"]
    views: Literal["planes", "brain", "heads", "hearts"]
    options: Options


TASKS = (
    Task("planes", "classify", "planes", "planes", {"data.label": "plane", "data.plan": "slices"}),
    Task("brain-planes", "classify", "planes", "brain", {"data.label": "brain_plane", "data.plan": "slices"}),
    Task("segmentation", "segment", "heads", "heads", {"data.moments": ()}),
    Task("cross-domain", "segment", "hearts", "hearts", {"data.moments": ("ED", "ES")}),
)


class Arm(NamedTuple):
    """How an encoder was pretrained; without a recipe, not at all."""

    name: str
    recipe: Literal["simclr", "awcl"] | None = None
    labels: Labels | None = None
    options: Options = MappingProxyType({})


GRANULARITIES: tuple[Labels, ...] = ("coarse", "fine")
# Shuffled one by one, hardly any image would meet another of its own scan in a batch.
ALL_LABELS = {"method.ratio": 1.0, "data.plan": "by_subject"}
POSITIVES = {"any-scan": "all", "own-scan": "own_subject", "other-scans": "other_subjects"}
"""Whose images of a label attract."""


def arms(ratios: tuple[float, ...]) -> Iterator[Arm]:
    """Those without labels, those with some, and those with all that differ in their positives."""
    yield from (Arm("scratch"), Arm("simclr", "simclr"))
    for labels in GRANULARITIES:
        for ratio in ratios:
            yield Arm(f"awcl-{labels}-{ratio}", "awcl", labels, {"method.ratio": ratio})
    for name, whose in POSITIVES.items():
        yield Arm(f"awcl-{name}", "awcl", "fine", {**ALL_LABELS, "method.positives": whose})


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    variant: str
    """Of every recipe."""
    ratios: tuple[float, ...]
    labelled: int | None
    """Subjects that fine-tuning learns from; None for all."""
    all: Options = field(default_factory=dict)


def phantoms(fetuses: int, others: int) -> dict[str, Stage]:
    """Scans of two frames a plane; heads of other fetuses; hearts in MR, a domain yet farther than that of CAMUS."""
    options = {
        "planes": ("ultrasound", {"subjects": fetuses, "scans": 1, "frames": 2}),
        "heads": ("ultrasound", {"subjects": others, "scans": 1, "frames": 2, "planes": PHANTOM.heads, "seed": 1}),
        "hearts": ("cine", {"subjects": others, "phases": 2, "slices": 2}),
    }
    return {name: Stage("phantom", kind, own, label=f"phantom {name}") for name, (kind, own) in options.items()}


SCALES = {
    "smoke": Setting(
        variant="tiny",
        ratios=(0.5,),
        seeds=1,
        labelled=4,
        phantoms=phantoms(12, 12),
        fractions=(0.5, 0.25, 0.25),
        # More than the 26 images of one scan, or no other would be in the batch; and the study's negatives.
        pretraining={"train.batch": 32, "method.negatives": "all"},
    ),
    "small": Setting(
        variant="small",
        ratios=(0.1, 0.3, 0.5, 0.8, 1.0),
        seeds=3,
        labelled=10,
        phantoms=phantoms(120, 60),
        fractions=(0.6, 0.1, 0.3),
        all={"data.layout.size": (96, 96), "data.layout.spacing": 1.5},
        pretraining={"train.batch": 128, "train.steps": 4000, "train.checkpoint_every": 500},
        finetuning={"train.steps": 1000, "train.checkpoint_every": 250},
    ),
    "paper": Setting(
        variant="study_d",
        ratios=(0.1, 0.3, 0.5, 0.8, 1.0),
        seeds=3,
        labelled=None,
        fractions=(0.6, 0.1, 0.3),
    ),
}


def sweep(
    scale: Scale = "smoke",
    store: Path | None = None,
    split: Path | None = None,
    heads: Path | None = None,
    hearts: Path | None = None,
    on: Part = "validation",
) -> Iterator[Point]:
    """The points of study D.

    Args:
        scale: Minutes on two cores, hours on one GPU, or the study's own numbers.
        store: FETAL_PLANES_DB, which pretrains and is asked for planes; phantoms, also of the others, unless given.
        split: A folder that `jaxssl data split` has made of that store; a new one unless given.
        heads: HC18, its training images, which have outlines; without it nothing is segmented.
        hearts: CAMUS, the other domain; without it there is none.
        on: Whom the runs are judged by: test subjects once nothing is left to choose.
    """
    setting = of_scale(scale, SCALES)
    if store is None and (heads or hearts):
        raise UserError("--heads and --hearts stand beside --store, which pretrains: give that as well.")
    design = Design.begin(setting, {"planes": store, "heads": heads, "hearts": hearts}, split, on)
    for arm in arms(setting.ratios):
        for task in TASKS:
            if task.store in design.cohorts:
                yield from (design.point(arm, task, seed) for seed in range(setting.seeds))


@dataclass(frozen=True)
class Design:
    """The data of the study, and how its points are reached."""

    setting: Setting
    names: Names
    cohorts: Mapping[str, Cohort]
    on: Part

    @classmethod
    def begin(cls, setting: Setting, stores: Mapping[str, Path | None], split: Path | None, on: Part):
        """Take the data that are given, or make them."""
        if stores["planes"]:
            setting = replace(setting, phantoms={})
        cohorts = {
            name: setting.cohort(given, split if name == "planes" else None, name)
            for name, given in stores.items()
            if given or setting.phantoms or name == "planes"
        }
        return cls(setting, PHANTOM if setting.phantoms else PUBLIC, cohorts, on)

    def point(self, arm: Arm, task: Task, seed: int) -> Point:
        """A fine-tuning and its judgement."""
        setting, start = self.setting, self._start(arm)
        name = f"{arm.name}/{task.name}/seed-{seed}"
        options = {
            **self.cohorts[task.store].options,
            **setting.all,
            **setting.finetuning,
            **({} if start is None else {"init.run": start}),
            **task.options,
            "data.views": getattr(self.names, task.views),
            "data.subjects": setting.labelled,
        }
        tuned = fine_tuning(__file__, name, f"{task.recipe}:{setting.variant}", seed, options)
        return judged(name, tuned, self.on)

    def _start(self, arm: Arm) -> Stage | None:
        if not arm.recipe:
            return None
        setting = self.setting
        options = {
            **(as_awcl(setting.variant) if arm.recipe == "simclr" else {}),
            **self.cohorts["planes"].options,
            **setting.all,
            **setting.pretraining,
            "data.views": self.names.planes,
            **({"data.label": self.names.label} if arm.labels else {}),
            **({"data.label_groups": self.names.coarse} if arm.labels == "coarse" else {}),
            **arm.options,
        }
        return Stage("pretrain", f"{arm.recipe}:{setting.variant}", options, label=arm.name)


def as_awcl(variant: str) -> Options:
    """What makes SimCLR's recipe that of AWCL without labels: the ratio 0 of both granularities."""
    ours, theirs = (dict(config.flat(load_recipe(f"{name}:{variant}"))) for name in ("simclr", "awcl"))
    shared = ours.keys() & theirs.keys() - {"name", "data.label", "data.label_groups"}
    return {name: theirs[name] for name in sorted(shared) if ours[name] != theirs[name]}
