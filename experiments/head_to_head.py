"""Which pretraining is worth its cost? Every method on the same images, with the same encoder, fine-tuned alike and
compared by the same statistics; nobody has published that on hearts, as far as we know.

    jaxssl ablate experiments/head_to_head.py --workdir sweeps/head                          # phantoms, some minutes
    jaxssl ablate experiments/head_to_head.py --workdir sweeps/unet --network unet --methods simclr mim
    jaxssl ablate experiments/head_to_head.py --workdir sweeps/images --points "scratch/*" "equal-images/*"
    jaxssl ablate experiments/head_to_head.py --workdir sweeps/time --points "scratch/*" "*/simclr/*" "equal-time/*"
    jaxssl ablate experiments/head_to_head.py --workdir sweeps/acdc --scale small --store stores/acdc \
        --split splits/acdc

Arms: from scratch, SimCLR, PCL, AWCL, BYOL, MoCo, DINO, masked image modelling (MIM), a masked autoencoder (MAE) and
imaging planes, at every number of labelled subjects and for every seed, which draws the subjects and the start. One
pretraining of one seed stands for its method: how much another would differ is not shown. Fine-tuning takes over the
encoder alone, also where a method has trained a decoder (`cine_segmentation.py` asks what that adds).

Encoder: one ViT for all, with the decoder that segmentation and planes need. `--network unet` takes a U-Net, on which
MAE cannot be had, as convolutions leave no patch out: eight methods then, of which MIM alone hides a part of an image.
A ViT has no batch normalisation, so that BYOL's heads have none there.

Two tables. Equal images: steps times batch is the same for all; an image counts each time it is drawn for a step, and
once however many views a method makes of it: what further views cost, time tells. Equal accelerator time: when a method
and the reference, the first of `--methods` unless `--reference` says, are pretrained so, the method is pretrained once
more, for as many steps as take the time of the reference, which stands in both tables. What a step takes is the median
over a run's log, the wait for data included: let nothing else run on the machine meanwhile. Another kind of
accelerator, another number of cores, or another jax has other speeds: there a pretraining of equal time does not begin.

What methods need besides images: AWCL has the subjects' `--label` (short-axis slices have no label of anatomy, so it is
the patient's group that attracts); planes has the lines of `--guests`, or, where a store does not know where such views
lie, a slice's place alone. Views, loss and batch are a method's own, those of its recipe; the ViT has one optimiser for
all.

Points are judged by validation subjects; `--on test`, once nothing is left to choose, asks the test subjects of the
same runs.

smoke: 20 synthetic hearts, the recipes' variants for tests, one seed, equal time at the fewest labels only: shows that
the machinery works and no more, above all of times. Its 28 points took 17 minutes on a CPU core beside other work
(*measured* at 6e35d79).
small: 128 x 128 pixels of 1.5 mm, 256,000 images, small networks, three seeds, on 120 synthetic hearts or `--store`;
*not run*.
paper: there is none to repeat: 256 x 256 pixels of 1.25 mm, some 100 epochs of M&Ms and M&Ms-2, ViT-S/16 or the U-Net
of study B (arXiv 2409.18100), on `--store`; *not run*.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from jaxssl.data.guests import placed_guests
from jaxssl.data.source import Part
from jaxssl.data.store import open_store, refuse_without_masks
from jaxssl.errors import UserError
from jaxssl.recipe import load_recipe
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

Method = Literal["simclr", "pcl", "awcl", "byol", "moco", "dino", "mim", "mae", "planes"]
METHODS: tuple[Method, ...] = get_args(Method)
ON_VIT_ALONE = ("mae",)


@dataclass(frozen=True)
class Network:
    """The encoder of all arms, and what differs with it."""

    recipe: str
    """Whose network it is."""
    tuned: str
    """The recipe of fine-tuning."""
    all: Options = field(default_factory=dict)
    pretraining: Options = field(default_factory=dict)
    finetuning: Options = field(default_factory=dict)
    by_method: Mapping[str, Options] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting(CommonSetting):
    """What a scale means."""

    variant: str
    """Of the recipes of pretraining; none is their default."""
    images: int
    """Drawn in each pretraining of the first table."""
    subsets: tuple[int | None, ...]
    """Labelled subjects, the fewest first; None for all."""
    timed: tuple[int | None, ...]
    """Those of the table of equal time."""
    all: Options = field(default_factory=dict)
    by_method: Mapping[str, Options] = field(default_factory=dict)


NOT_NORMALISED = {"byol": {"method.projector_norm": False}}
VITS = {
    "smoke": Network("mae:tiny", "segment:tiny@mae:tiny", {"model.decoder_widths": (4, 8)}, by_method=NOT_NORMALISED),
    "small": Network(
        "mae:small",
        "segment:small@mae:small",
        {"model.decoder_widths": (16, 32, 64)},
        {"optim.lr": 4e-4, "optim.weight_decay": 0.05, "optim.beta2": 0.95},
        {"optim.lr": 1e-3, "optim.weight_decay": 0.05},
        NOT_NORMALISED,
    ),
    "paper": Network(
        recipe="segment:vit",
        tuned="segment:vit",
        # 1.5e-4 for each 256 samples have MAE and MoCo v3 (He et al. 2022, Chen et al. 2021).
        pretraining={
            "train.batch": 256,
            "optim.name": "adamw",
            "optim.lr": 1.5e-4,
            "optim.schedule": "cosine",
            "optim.warmup": 0.1,
            "optim.weight_decay": 0.05,
            "optim.weight_decay_end": None,
            "optim.decay": "weights",
            "optim.nesterov": False,
            "optim.beta2": 0.95,
        },
        # Lower layers that learn less suit an encoder that is taken over, and not one from scratch.
        finetuning={"optim.layer_decay": None},
        by_method=NOT_NORMALISED,
    ),
}
UNETS = {
    "smoke": Network("segment:tiny", "segment:tiny"),
    "small": Network("segment:small", "segment:small"),
    # Batch normalisation goes by 32 images; one learning rate for all, that which study B has from scratch.
    "paper": Network(
        recipe="segment",
        tuned="segment",
        all={"model.norm.group": 32},
        finetuning={"optim.lr": 0.01},
        by_method={"planes": {"train.batch": 32}},
    ),
}
NETWORKS = {"vit": VITS, "unet": UNETS}
SCALES = {
    "smoke": Setting(
        variant="tiny",
        images=256,
        subsets=(2, 5),
        timed=(2,),
        seeds=1,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 20, "phases": 2, "slices": 6})},
        fractions=(0.5, 0.2, 0.3),
        # Saving at every second step, as these variants do, would be most of the time.
        pretraining={"train.checkpoint_every": 100},
    ),
    "small": Setting(
        variant="small",
        images=256_000,
        subsets=(5, 10, None),
        timed=(5, 10, None),
        seeds=3,
        phantoms={"hearts": Stage("phantom", "cine", {"subjects": 120})},
        fractions=(0.6, 0.1, 0.3),
        all={"data.layout.size": (128, 128), "data.layout.spacing": 1.5},
        pretraining={"train.checkpoint_every": 500},
        finetuning={"train.steps": 1000, "train.checkpoint_every": 250},
        by_method={"mim": {"method.patch": 16}, "dino": {"method.local_size": (64, 64)}},
    ),
    "paper": Setting(
        variant="",
        images=9_060_352,
        subsets=(10, 25, 50, None),
        timed=(10, 25, 50, None),
        seeds=3,
        fractions=(0.58, 0.145, 0.275),
        all={"data.layout.size": (256, 256), "data.layout.spacing": 1.25},
    ),
}

SAME_DATA = {"data.views": ("sax",), "data.moments": (), "data.plan": "slices", "data.partners": ()}
"""For every pretraining, whatever its recipe goes through otherwise."""


def sweep(
    scale: Scale = "smoke",
    store: Path | None = None,
    split: Path | None = None,
    on: Part = "validation",
    network: Literal["vit", "unet"] = "vit",
    methods: tuple[Method, ...] = METHODS,
    reference: Method | None = None,
    label: str = "group",
    guests: tuple[str, ...] = ("2ch", "4ch"),
) -> Iterator[Point]:
    """The points of the comparison.

    Args:
        scale: Minutes on two cores, hours on one GPU, or days on several.
        store: Short-axis cine MR with masks in ED and ES; synthetic hearts unless given.
        split: A folder that `jaxssl data split` has made of that store; a new one unless given.
        on: Whom the runs are judged by: test subjects once nothing is left to choose.
        network: The encoder of all arms; masked autoencoders need the ViT.
        methods: Those that are compared.
        reference: The method whose time all others get; the first of those compared unless given.
        label: By which AWCL attracts; a store without it has no such arm.
        guests: Views whose lines planes looks for, of those whose place the store knows.
    """
    setting = of_scale(scale, SCALES)
    refuse_without_masks(store)
    cohort = setting.cohort(store, split)
    design = Design(setting, NETWORKS[network][scale], cohort, on, what_methods_need(store, label, guests))
    lacking = {*(ON_VIT_ALONE if network == "unet" else ()), *({"awcl"} - set(design.needs))}
    methods = tuple(method for method in methods if method not in lacking)
    # Another encoder asks other questions.
    prefix = "" if network == "vit" else f"{network}/"
    if not methods:
        raise UserError("None of --methods can be had: mae needs the ViT, awcl a store with the label of --label.")
    reference = reference or methods[0]
    if reference not in methods:
        raise UserError(f"--reference {reference} is not among the methods compared; there are {', '.join(methods)}.")
    subsets, timed = cohort.labelled(setting.subsets), cohort.labelled(setting.timed)
    yield from design.points(f"{prefix}scratch", None, subsets, ())
    of_images = {method: design.start(method, f"equal-images {method}", design.steps(method)) for method in methods}
    images = f"Equal images seen: {setting.images:,} drawn in each pretraining"
    time = f"Equal accelerator time: that which {reference} takes for {setting.images:,} images"
    for method, start in of_images.items():
        for subjects in subsets:
            tables = (images, time) if method == reference and subjects in timed else (images,)
            yield from design.points(f"{prefix}equal-images/{method}", start, (subjects,), tables)
    for method, start in of_images.items():
        if method != reference:
            steps = StepsInTime(start, of_images[reference])
            in_time = design.start(method, f"equal-time {method}", steps)
            yield from design.points(f"{prefix}equal-time/{method}", in_time, timed, (time,))


@dataclass(frozen=True)
class Design:
    """The data and the encoder of all arms, and how their points are reached."""

    setting: Setting
    network: Network
    cohort: Cohort
    on: Part
    needs: Mapping[str, Options]
    """What methods are given besides images."""

    def steps(self, method: str) -> int:
        """That draw the images of the first table."""
        batch = load_recipe(self._recipe(method), self._own(method)).train.batch
        if self.setting.images % batch:
            raise UserError(f"Batches of {batch}, as {method} has them, never make {self.setting.images:,} images.")
        return self.setting.images // batch

    def start(self, method: str, label: str, steps: int | StepsInTime) -> Stage:
        """A pretraining of so many steps."""
        options = {**self.cohort.options, **self._own(method), "train.epochs": None, "train.steps": steps}
        return Stage("pretrain", self._recipe(method), options, label=label)

    def points(
        self, name: str, start: Stage | None, subsets: tuple[int | None, ...], tables: tuple[str, ...]
    ) -> Iterator[Point]:
        """Fine-tunings of an arm and their judgement, for each number of labelled subjects and each seed."""
        begun = {} if start is None else {"init.run": start, "init.parts": ("encoder",)}
        for subjects in subsets:
            for seed in range(self.setting.seeds):
                own = f"{name}/{subjects or 'all'}-labelled/seed-{seed}"
                options = {
                    **self.cohort.options,
                    **self.setting.all,
                    **self.network.all,
                    **self.setting.finetuning,
                    **self.network.finetuning,
                    **begun,
                    "data.subjects": subjects,
                }
                tuned = fine_tuning(__file__, own, self.network.tuned, seed, options)
                yield judged(own, tuned, self.on, tables=tables)

    def _recipe(self, method: str) -> str:
        """With the network of all."""
        variant = f":{self.setting.variant}" if self.setting.variant else ""
        return f"{method}{variant}@{self.network.recipe}"

    def _own(self, method: str) -> Options:
        setting, network = self.setting, self.network
        return {
            **SAME_DATA,
            **setting.all,
            **network.all,
            **setting.pretraining,
            **network.pretraining,
            **setting.by_method.get(method, {}),
            **network.by_method.get(method, {}),
            **self.needs.get(method, {}),
        }


def what_methods_need(store: Path | None, label: str, guests: tuple[str, ...]) -> dict[str, Options]:
    """Besides images, as far as the data have it: without its label there is no AWCL."""
    given = open_store(store) if store else None
    seen = guests if given is None else placed_guests(given, "sax", guests)
    found: dict[str, Options] = {"planes": {"data.guests": seen, **({} if seen else {"method.lines": 0.0})}}
    if given is None or label in given.info.labels:
        found["awcl"] = {"data.label": label}
    return found
