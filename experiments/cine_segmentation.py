"""Which pretraining helps cine segmentation, and with how many labels? Study B (de Mooij, Pluim and Scannell 2024,
arXiv 2409.18100), on short-axis slices.

    jaxssl ablate experiments/cine_segmentation.py --workdir sweeps/cine                      # phantom, some minutes
    jaxssl ablate experiments/cine_segmentation.py --workdir sweeps/cine --list
    jaxssl ablate experiments/cine_segmentation.py --workdir sweeps/acdc --scale small --store stores/acdc \
        --split splits/acdc --points "scratch/*" "simclr/*" "mim/*"
    jaxssl ablate experiments/cine_segmentation.py --workdir sweeps/b --scale paper --store stores/mnms \
        --vendors Siemens Philips --submit slurm --jobs 8 --slurm time=2880 gpus_per_node=1

Published: all labels .89 mean 3D Dice from scratch, and no gain from any pretraining; 10 subjects .82 from scratch, .86
after masked image modelling; DINO is poor for convolutional networks; gains at phases and vendors that training lacked
are modest; augmentation matters more.

Arms: from scratch, SimCLR, PCL, DINO, masked image modelling (MIM) with and without its decoder. Each at every number
of labelled subjects and for every seed, which draws the subjects and the start; pretraining is one for all. At the
fewest labels also without augmentation, with labels of one phase only, and of some vendors only. dino-as-published has
the faults of the study's own code: a teacher that does not begin as the student and keeps running statistics of what it
sees itself, and gradients that are not clipped.

Points are judged by validation subjects; `--on test`, once nothing is left to choose, asks the test subjects of the
same runs. Other vendors are met in the test alone: these points are there only then.

smoke: 20 synthetic hearts, the recipes' variants for tests, one seed: shows that the machinery works and no more. Its
56 points, half of them only asked on the test subjects, took 19 minutes on a CPU core beside other work (*measured* at
6572ffc).
small: 128 x 128 pixels of 1.5 mm, a small U-Net, three seeds, on 120 synthetic hearts or `--store`; for real ones
results/acdc_cine.md.
paper: the study's network, numbers and subsets on `--store`, of M&Ms and M&Ms-2 in the study; *not run*.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jaxssl.data.divide import shift_name
from jaxssl.data.phantom.scanner import VENDORS
from jaxssl.data.source import Part
from jaxssl.data.store import open_store, refuse_without_masks
from jaxssl.errors import UserError
from jaxssl.sweep import Cohort, CommonSetting, Options, Point, Scale, Stage, fine_tuning, judged, of_scale


@dataclass(frozen=True)
class Arm:
    """What fine-tuning begins with; without a recipe, nothing."""

    recipe: str = ""
    pretraining: Options = field(default_factory=dict)
    beginning: Options = field(default_factory=dict)


ARMS = {
    "scratch": Arm(),
    "simclr": Arm("simclr"),
    "pcl": Arm("pcl"),
    "dino": Arm("dino"),
    "dino-as-published": Arm("dino", {"method.teacher": "apart", "optim.clip_parameter": None}),
    "mim": Arm("mim"),
    "mim-encoder-only": Arm("mim", beginning={"init.parts": ("encoder",)}),
}


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    variant: str
    """Of every recipe."""
    subsets: tuple[int | None, ...]
    """Labelled subjects, the fewest first; None for all."""
    all: Options = field(default_factory=dict)
    scratch: Options = field(default_factory=dict)
    by_recipe: Mapping[str, Options] = field(default_factory=dict)


LARGER = {"data.layout.size": (128, 128), "data.layout.spacing": 1.5}
TUNED = {
    "train.batch": 8,
    "train.steps": 600,
    "train.checkpoint_every": 200,
    "model.norm.group": 8,
    "optim.lr": 2.5e-3,
    "optim.weight_decay": 1e-2,
    "method.dice": "batch",
    "method.augment.translation": 19.0,
    "method.augment.rotation": 30.0,
    "method.augment.scale": (0.8, 1.25),
    "method.augment.flip": 0.0,
    "method.augment.noise_std": 0.1,
    "method.augment.blur": 0.0,
    "method.augment.gamma": (1.0, 1.0),
}
"""What was best from scratch of the settings tried on validation subjects, for its cost (results/acdc_cine.md)."""
SCALES = {
    "smoke": Setting(
        variant="tiny",
        subsets=(2,),
        seeds=1,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 20, "phases": 2, "slices": 6})},
        fractions=(0.5, 0.2, 0.3),
        by_recipe={"dino": {"optim.clip_parameter": 3.0}},
    ),
    "small": Setting(
        variant="small",
        subsets=(5, 10, None),
        seeds=3,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 120})},
        fractions=(0.6, 0.1, 0.3),
        all=LARGER,
        # 40,000 images each: MIM's batch is half as large as the others'.
        pretraining={"train.steps": 625, "train.checkpoint_every": 125},
        finetuning=TUNED,
        by_recipe={"mim": {"method.patch": 16, "train.steps": 1250}, "dino": {"method.local_size": (64, 64)}},
    ),
    "paper": Setting(
        variant="study_b",
        subsets=(10, 15, 25, 50, None),
        seeds=3,
        fractions=(0.58, 0.145, 0.275),
        scratch={"optim.lr": 0.01},
    ),
}

UNCHANGED = {
    "method.augment.translation": 0.0,
    "method.augment.rotation": 0.0,
    "method.augment.scale": (1.0, 1.0),
    "method.augment.flip": 0.0,
    "method.augment.noise": 0.0,
    "method.augment.blur": 0.0,
    "method.augment.contrast": (1.0, 1.0),
    "method.augment.brightness": 0.0,
    "method.augment.gamma": (1.0, 1.0),
}
"""Fine-tuning on the images as they are."""
OTHERWISE = {
    "augmentation-off": UNCHANGED,
    # Evaluation is of both moments nevertheless.
    "phase-ED": {"data.moments": ("ED",)},
    "phase-ES": {"data.moments": ("ES",)},
}
"""What is asked at the fewest labels besides."""


def sweep(
    scale: Scale = "smoke",
    store: Path | None = None,
    split: Path | None = None,
    on: Part = "validation",
    vendors: tuple[str, ...] = (),
) -> Iterator[Point]:
    """The points of study B.

    Args:
        scale: Minutes on two cores, hours on one GPU, or the study's own numbers.
        store: Short-axis cine MR with masks in ED and ES; synthetic hearts unless given.
        split: A folder that `jaxssl data split` has made of that store; a new one unless given.
        on: Whom the runs are judged by: test subjects once nothing is left to choose.
        vendors: Those that a shift trains on before it meets the others, by their names in the store, which `jaxssl
            data info` lists; unless given, two of the synthetic hearts', and no shift is asked of a store of your own.
    """
    setting = of_scale(scale, SCALES)
    design = Design.begin(setting, store, split, vendors, on)
    subsets = design.cohort.labelled(setting.subsets)
    for subjects in subsets:
        for arm in ARMS:
            for seed in range(setting.seeds):
                name = f"{arm}/{subjects or 'all'}-labelled/seed-{seed}"
                yield design.point(name, arm, seed, {"data.subjects": subjects})
    # Validation subjects are of the vendors that are trained on: other vendors are met in the test alone.
    for name, change in {**OTHERWISE, **(design.shifts if on == "test" else {})}.items():
        for arm in ARMS:
            for seed in range(setting.seeds):
                own = {"data.subjects": subsets[0], **change}
                yield design.point(f"{name}/{arm}/seed-{seed}", arm, seed, own)


@dataclass(frozen=True)
class Design:
    """The data of the study, and how its points are reached."""

    setting: Setting
    cohort: Cohort
    shifts: Mapping[str, Options]
    """What leaves vendors out of the labels."""
    on: Part

    @classmethod
    def begin(cls, setting: Setting, store: Path | None, split: Path | None, vendors: tuple[str, ...], on: Part):
        """Take the data that are given, or make them; each vendor has its share in each part, where they are known."""
        refuse_without_masks(store)
        known = VENDORS if store is None else open_store(store).info.labels.get("vendor", {})
        named = vendors or (tuple(VENDORS)[:2] if store is None else ())
        near, far = [v for v in known if v in named], [v for v in known if v not in named]
        if vendors and not (near and far):
            raise UserError(
                f"--vendors {' '.join(vendors)} leaves no shift between vendors, which of {store or 'phantoms'} are "
                f"{', '.join(known) or 'not known'}: name some of them, or leave --vendors out."
            )
        ways = [(a, b) for a in (near, far) for b in (near, far)] if near and far else []
        names = [shift_name("vendor", a, b) for a, b in ways]
        shift = (f"vendor={','.join(near)}",) if ways else ()
        by = "vendor" if known else None
        cohort = setting.cohort(store, split, by=by, shift=shift)
        shifts = {name: {"on": "test", "data.split": cohort.divisions / f"{name}.json"} for name in names}
        return cls(setting, cohort, shifts, on)

    def point(self, name: str, arm: str, seed: int, own: Options) -> Point:
        """A fine-tuning and its judgement."""
        setting, start = self.setting, self._start(arm)
        options = {
            **self.cohort.options,
            **setting.all,
            **setting.finetuning,
            **(setting.scratch if start is None else {"init.run": start, **ARMS[arm].beginning}),
            **own,
        }
        return judged(name, fine_tuning(__file__, name, f"segment:{setting.variant}", seed, options), self.on)

    def _start(self, arm: str) -> Stage | None:
        recipe = ARMS[arm].recipe
        if not recipe:
            return None
        setting = self.setting
        own = {**setting.pretraining, **setting.by_recipe.get(recipe, {}), **ARMS[arm].pretraining}
        return Stage("pretrain", f"{recipe}:{setting.variant}", {**self.cohort.options, **setting.all, **own})
