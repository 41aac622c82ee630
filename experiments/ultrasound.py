"""Does pretraining on a small public set of ultrasound help to read that set from few labels?

    jaxssl ablate experiments/ultrasound.py --workdir sweeps/ultrasound                        # phantoms, some minutes
    jaxssl ablate experiments/ultrasound.py --workdir sweeps/heads --scale small --heads stores/hc18
    jaxssl ablate experiments/ultrasound.py --workdir sweeps/us --scale small --heads stores/hc18 \
        --breast stores/busi --lung stores/pocus

Nobody has published this comparison as far as we know: what is published pretrains on sets a hundred times as large.

Arms: from scratch, SimCLR, masked image modelling (MIM), each pretrained on the training subjects of the very set that
is asked, without their labels. Fine-tuning trains the whole network, with few labelled subjects and with all of them,
for every seed, which draws the subjects and the start; one pretraining stands for all seeds of an arm.

Tasks: the outline of the fetal head (HC18), whose decoder MIM has pretrained too; whether a breast is healthy or has a
benign or malignant lesion (BUSI); whether a lung is healthy, has COVID or another pneumonia (POCUS), a clip's frames
being answered one by one and a patient by their mean. A task without its store has no points. Breast and lung images
say nothing of their pixels' size in mm, and are fitted in whole.

Points are judged by validation subjects; `--on test`, once nothing is left to choose, asks the test subjects of the
same runs.

smoke: heads, and planes of brains, of 12 synthetic fetuses, the recipes' variants for tests, one seed: shows that the
machinery works and no more. Its 12 points took 6 minutes, with the test subjects' questions, on a CPU core beside other
work (*measured* at 6572ffc).
small: 96 x 96 pixels, a small U-Net or its encoder, 20,480 images in each pretraining, three seeds; *measured* (commit
a071e9d, experiments/results/ultrasound.md): no gain found with few labels, +.046 AUROC on breasts with all after
SimCLR.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jaxssl.data.phantom.ultrasound.views import VIEWS
from jaxssl.data.source import Part
from jaxssl.errors import UserError
from jaxssl.sweep import Cohort, CommonSetting, Options, Point, Scale, Stage, fine_tuning, judged, of_scale

ARMS = {"scratch": None, "simclr": "simclr", "mim": "mim"}
"""By which recipe an arm is pretrained."""


@dataclass(frozen=True)
class Task:
    """What is asked of a set's images."""

    recipe: str
    """Of fine-tuning."""
    few: int
    """Labelled subjects where they are few."""
    images: Options
    """Which, and on what grid: of pretraining as well."""
    asked: Options = field(default_factory=dict)
    """Of fine-tuning alone."""
    by: str | None = None
    """The label whose values are to have the same share among those who train, choose and test."""


def classes(label: str, groups: tuple[str, ...] = ()) -> Options:
    """What a classifier is asked."""
    return {"data.label": label, "data.label_groups": groups, "data.plan": "slices"}


ANY_MOMENT = {"data.moments": ()}
TASKS = {
    "heads": Task("segment", 20, {"data.views": ("head",), "data.layout.spacing": 1.25}, ANY_MOMENT),
    "breast": Task("classify", 30, {"data.views": ("breast",)}, classes("group"), "group"),
    "lung": Task(
        "classify",
        15,
        {"data.views": ("lung",)},
        classes("group", ("pneumonia=bacterial_pneumonia,viral_pneumonia",)),
        "group",
    ),
}
BRAIN = tuple(plane for plane, view in VIEWS.items() if view.organ == "head")
STAND_INS = {
    "heads": Task("segment", 4, {"data.views": ("transthalamic",)}, ANY_MOMENT),
    "brain-planes": Task("classify", 2, {"data.views": BRAIN}, classes("brain_plane")),
}
"""What phantoms can be asked."""


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    variant: str
    """Of every recipe."""
    all: Options = field(default_factory=dict)
    by_arm: Mapping[str, Options] = field(default_factory=dict)


FETUSES = Stage("phantom", "ultrasound", {"subjects": 12, "scans": 1, "frames": 2})
SCALES = {
    "smoke": Setting(
        variant="tiny",
        seeds=1,
        phantoms={"heads": FETUSES, "brain-planes": FETUSES},
        fractions=(0.5, 0.25, 0.25),
    ),
    "small": Setting(
        variant="small",
        seeds=3,
        fractions=(0.6, 0.15, 0.25),
        all={"data.layout.size": (96, 96)},
        # 20,480 images each: MIM's batch is half as large.
        pretraining={"train.steps": 320, "train.checkpoint_every": 80},
        finetuning={"train.steps": 300, "train.checkpoint_every": 100},
        by_arm={"mim": {"method.patch": 16, "train.steps": 640}},
    ),
}


def sweep(
    scale: Scale = "smoke",
    heads: Path | None = None,
    breast: Path | None = None,
    lung: Path | None = None,
    on: Part = "validation",
) -> Iterator[Point]:
    """The points of the comparison.

    Args:
        scale: Minutes on two cores, or hours on one GPU.
        heads: HC18, its training images, which have outlines; without any store phantoms are asked.
        breast: BUSI.
        lung: POCUS.
        on: Whom the runs are judged by: test subjects once nothing is left to choose.
    """
    setting = of_scale(scale, SCALES)
    given = {name: store for name, store in (("heads", heads), ("breast", breast), ("lung", lung)) if store}
    if not (given or setting.phantoms):
        raise UserError("This scale is for real data: give --heads, --breast or --lung, each a store of such images.")
    tasks = {name: TASKS[name] for name in given} if given else STAND_INS
    for name, task in tasks.items():
        design = Design(setting, name, task, setting.cohort(given.get(name), None, name, by=task.by), on)
        for subjects in (task.few, None):
            for arm in ARMS:
                yield from (design.point(arm, subjects, seed) for seed in range(setting.seeds))


@dataclass(frozen=True)
class Design:
    """A task and its data, and how its points are reached."""

    setting: Setting
    name: str
    task: Task
    cohort: Cohort
    on: Part

    def point(self, arm: str, subjects: int | None, seed: int) -> Point:
        """A fine-tuning and its judgement."""
        name = f"{self.name}/{arm}/{subjects or 'all'}-labelled/seed-{seed}"
        start = self._start(arm)
        options = {
            **self._shared,
            **self.setting.finetuning,
            **self.task.asked,
            **({"init.run": start} if start else {}),
            "data.subjects": subjects,
        }
        recipe = f"{self.task.recipe}:{self.setting.variant}"
        return judged(name, fine_tuning(__file__, name, recipe, seed, options), self.on)

    def _start(self, arm: str) -> Stage | None:
        if not (recipe := ARMS[arm]):
            return None
        options = {**self._shared, **self.setting.pretraining, **self.setting.by_arm.get(arm, {})}
        return Stage("pretrain", f"{recipe}:{self.setting.variant}", options, label=f"{self.name} {arm}")

    @property
    def _shared(self) -> Options:
        """The images, and the grid on which all see them."""
        return {**self.cohort.options, **self.setting.all, **self.task.images}
