"""What does each switch do to speed and memory, and which of those that change the result are worth their time?

    jaxssl ablate experiments/throughput.py --workdir sweeps/speed                              # phantom, some minutes
    jaxssl ablate experiments/throughput.py --workdir sweeps/dino --scale small --store stores/acdc \
        --recipe dino:vit --devices 1 2 4 8
    jaxssl ablate experiments/throughput.py --workdir sweeps/fast --points "base/speed" "resident/speed"

Arms: a pretraining as its recipe has it, and with one switch turned: batch (half, double and four times as large),
precision (bfloat16), remat, micro-batches, resident images, several steps a dispatch, and devices, of which `--devices`
names the numbers. Each `speed` point trains for the same number of images and times its step by `jaxssl bench step`, on
a batch that is there already and as training is fed: images a second, memory and, on a chip that is known, MFU.

Networks that normalise over many images have no smaller batch and no micro-batches.

Batch and precision change what is learned: they are fine-tuned from few labels as well, beside a random start, after
equally many images, and then once more after as many steps as take the time of the base: quality at equal cost. The
learning rate grows with the batch, as Adam has it by its square root. The other switches change no result beyond
rounding, which tests show, so that nothing is fine-tuned from them.

A speed says something on an accelerator, or as a ratio on a machine where nothing else runs.

smoke: the recipe's variant for tests on 20 synthetic hearts: shows that the machinery works and no more. Its 20 points
took 19 minutes on a CPU core beside other work (*measured* at 6e35d79).
small: 64,000 images of 128 x 128 pixels, one seed, on 120 synthetic hearts or `--store`; *not run*.
paper: the recipe's own sizes and 1,000,000 images of `--store`, three seeds; *not run*.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

from jaxssl.data.source import Part
from jaxssl.data.store import refuse_without_masks
from jaxssl.recipe import Recipe, load_recipe
from jaxssl.sweep import (
    Cohort,
    CommonSetting,
    Options,
    Point,
    Scale,
    Stage,
    StepsInTime,
    fine_tuning,
    judged,
    of_scale,
)

BASE = "base"


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    variant: str
    """Of the recipe, unless one is named, and of fine-tuning."""
    images: int
    """Drawn in each pretraining, about."""
    subjects: int
    """Labelled ones in fine-tuning."""
    dispatch: int
    """Steps of the arm that takes several."""
    all: Options = field(default_factory=dict)
    timing: Options = field(default_factory=dict)
    """Of `bench step`."""


SCALES = {
    "smoke": Setting(
        variant="tiny",
        images=256,
        subjects=2,
        seeds=1,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 20, "phases": 2, "slices": 6})},
        fractions=(0.5, 0.2, 0.3),
        dispatch=2,
        all={"train.batch": 16},
        timing={"rounds": 2, "seconds": 0.05},
    ),
    "small": Setting(
        variant="small",
        images=64_000,
        subjects=5,
        seeds=1,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 120})},
        fractions=(0.6, 0.1, 0.3),
        dispatch=10,
        all={"data.layout.size": (128, 128), "data.layout.spacing": 1.5},
    ),
    "paper": Setting(
        variant="",
        images=1_000_000,
        subjects=10,
        seeds=3,
        fractions=(0.58, 0.145, 0.275),
        dispatch=10,
    ),
}


def sweep(
    scale: Scale = "smoke",
    store: Path | None = None,
    split: Path | None = None,
    on: Part = "validation",
    recipe: str | None = None,
    devices: tuple[int, ...] = (1,),
) -> Iterator[Point]:
    """The points of the ablation.

    Args:
        scale: Minutes on two cores, hours on one GPU, or a recipe's own sizes.
        store: Short-axis cine MR with masks in ED and ES; synthetic hearts unless given.
        split: A folder that `jaxssl data split` has made of that store; a new one unless given.
        on: Whom the fine-tunings are judged by: test subjects once nothing is left to choose.
        recipe: The pretraining whose switches are turned; SimCLR of the scale unless given.
        devices: Numbers of devices that are timed, of those that this machine has.
    """
    setting = of_scale(scale, SCALES)
    ending = f":{setting.variant}" if setting.variant else ""
    refuse_without_masks(store)
    cohort = setting.cohort(store, split)
    design = Design(setting, cohort, on, recipe or f"simclr{ending}", f"segment{ending}")
    switches = {**design.quality, **design.speed(devices)}
    starts = {name: design.start(name, options) for name, options in switches.items()}
    for name, start in starts.items():
        yield Point(f"{name}/speed", (start, Stage("bench", start, setting.timing)))
    images = f"Equal images seen: {design.images:,} drawn in each pretraining"
    time = f"Equal accelerator time: that which the base takes for {design.images:,} images"
    yield from design.tuned("scratch", None, ())
    for name, options in design.quality.items():
        yield from design.tuned(f"{name}/quality", starts[name], (images, time) if name == BASE else (images,))
        if name != BASE:
            steps = StepsInTime(starts[name], starts[BASE])
            start = design.start(f"equal-time {name}", {**options, "train.steps": steps})
            yield from design.tuned(f"{name}/equal-time", start, (time,))


@dataclass(frozen=True)
class Design:
    """The data and the recipes, and how the points are reached."""

    setting: Setting
    cohort: Cohort
    on: Part
    pretraining: str
    finetuning: str

    @property
    def recipe(self) -> Recipe:
        """As its arms begin."""
        return load_recipe(self.pretraining, self.setting.all)

    @property
    def quality(self) -> dict[str, Options]:
        """The base, and switches that change what is learned."""
        batch, rate = self.recipe.train.batch, self.recipe.optim.lr
        sizes = {
            f"batch-{size}": {"train.batch": size, "optim.lr": rate * sqrt(size / batch)}
            for size in (batch // 2, 2 * batch, 4 * batch)
            if self._normalised(size)
        }
        other = "float32" if self.recipe.train.precision == "bfloat16" else "bfloat16"
        return {BASE: {}, **sizes, f"precision-{other}": {"train.precision": other}}

    def speed(self, devices: tuple[int, ...]) -> dict[str, Options]:
        """Switches that change no result beyond rounding; a model that never makes anything again has no remat."""
        now = getattr(self.recipe.model, "remat", None)
        again = {} if now is None else {"without-remat" if now else "remat": {"model.remat": type(now)(not now)}}
        train, dispatch = self.recipe.train, self.setting.dispatch
        pieces = 2 * train.micro_batches
        return {
            **again,
            **({"micro-batches": {"train.micro_batches": pieces}} if self._normalised(train.batch // pieces) else {}),
            "resident": {"data.resident": True},
            f"dispatch-{dispatch}": {"train.steps_per_dispatch": dispatch},
            **{f"devices-{count}": {"train.devices": count} for count in devices},
        }

    def _normalised(self, samples: int) -> bool:
        """Whether so many are whole groups of those that the network normalises together."""
        return samples % self.recipe.model.group == 0  # type: ignore[attr-defined]

    @property
    def images(self) -> int:
        """Drawn in each pretraining: about those of the scale, in whole batches of every size."""
        largest = 4 * self.recipe.train.batch
        return largest * max(round(self.setting.images / largest), 1)

    def start(self, label: str, options: Options) -> Stage:
        """A pretraining."""
        batch = options.get("train.batch", self.recipe.train.batch)
        steps = {"train.epochs": None, "train.steps": self.images // batch}
        dispatch = self.setting.dispatch
        every = {"train.log_every": dispatch, "train.checkpoint_every": 100 * dispatch, "train.probe_every": 0}
        own = {**self.cohort.options, **self.setting.all, **steps, **every, **options}
        return Stage("pretrain", self.pretraining, own, label=label)

    def tuned(self, name: str, start: Stage | None, tables: tuple[str, ...]) -> Iterator[Point]:
        """Fine-tunings from few labels and their judgement, for each seed."""
        for seed in range(self.setting.seeds):
            own = f"{name}/seed-{seed}"
            options = {
                **self.cohort.options,
                **self.setting.all,
                **({} if start is None else {"init.run": start, "init.parts": ("encoder",)}),
                "data.subjects": self.setting.subjects,
            }
            tuned = fine_tuning(__file__, own, self.finetuning, seed, options)
            yield judged(own, tuned, self.on, tables=tables)
