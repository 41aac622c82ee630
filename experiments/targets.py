"""What speed was aimed at, and what this machine reaches: measured one after the other, and told in one table.

    python experiments/targets.py bench                              # what jaxssl takes on a CPU, without PyTorch
    python experiments/targets.py bench --python torch/bin/python    # and by turns with PyTorch, by its interpreter
    python experiments/targets.py bench --only loss loss-half loss-large
    python experiments/targets.py bench --chip h200 --python torch/bin/python    # *not run*: nobody had one

Each row is of some `jaxssl bench`, whose line and figure lie in a folder of their own; a line that is there is taken as
it is, so the same command goes on where it was stopped. On a CPU sides that are compared have one core each, by turns,
and are compared by CPU time, which other work on the machine disturbs least. The table is printed, and lies in
bench/targets.md.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from jaxssl.bench.loader import PEER as LOADER
from jaxssl.bench.sides import OURS
from jaxssl.run.augmenting import KORNIA
from jaxssl.run.contrasting import PEERS as LOSSES
from jaxssl.run.step_against import COMPILED
from jaxssl.run.step_against import PEER as TORCH

Line = Mapping[str, Any]
PLAIN, LIGHTLY = LOSSES
AT_128 = ("--data.layout.size", "128", "128", "--train.precision", "float32")


@dataclass(frozen=True)
class Benchmark:
    """Words of `jaxssl bench`, and the file of its folder that has its line."""

    words: tuple[str, ...]
    line: str
    against: Literal["torch", "torch.compile"] | None = "torch"
    """What takes part where an interpreter with PyTorch is given."""


ON_CPU = {
    "loss": Benchmark(("loss", "--rows", "16384", "--rounds", "3"), "loss"),
    "loss-half": Benchmark(("loss", "--rows", "32768", "--rounds", "3"), "loss", against=None),
    "loss-large": Benchmark(("loss", "--rows", "65536", "--rounds", "3"), "loss", against=None),
    "dino-vit-ti": Benchmark(
        (
            *("step", "dino:vit", *AT_128, "--train.batch", "4", "--method.local-views", "6"),
            *("--method.local-size", "64", "64", "--method.targets", "centre", "--method.koleo", "0"),
            *("--method.ibot", "0", "--method.prototypes", "8192", "--model.width", "192", "--model.heads", "3"),
            *("--model.drop-path", "0", "--model.no-scan", "--model.no-remat"),
        ),
        "against",
    ),
    "mae-vit-s": Benchmark(
        (
            *("step", "mae:small", *AT_128, "--train.batch", "8", "--model.width", "384", "--model.depth", "12"),
            *("--model.heads", "6", "--method.decoder.width", "256", "--method.decoder.depth", "4"),
        ),
        "against",
    ),
    "simclr-resnet18": Benchmark(
        ("step", "simclr:small@segment:resnet18", *AT_128, "--train.batch", "8", "--model.norm.group", "8"), "against"
    ),
    "simclr-resnet50": Benchmark(
        (
            *("step", "simclr:small@segment:resnet18", *AT_128, "--train.batch", "4", "--model.norm.group", "4"),
            *("--model.blocks", "3", "4", "6", "3", "--model.bottleneck"),
        ),
        "against",
    ),
    "segment-unet": Benchmark(
        ("step", "segment", *AT_128, "--train.batch", "4", "--model.norm.group", "4", "--method.scales", "1"), "against"
    ),
    "start": Benchmark(("step", "mim:small"), "step", against=None),
    "loader": Benchmark(("loader", "mim:small", "--store", "{store}", "--steps", "0"), "loading"),
    "loader-256": Benchmark(("loader", "mim", "--store", "{store}", "--steps", "0", "--batch", "128"), "loading"),
    "augment": Benchmark(("augment", "simclr:small"), "augment"),
    "augment-256": Benchmark(("augment", "simclr"), "augment"),
    "fed": Benchmark(("step", "mim:small", "--fed", "--data.store", "{store}"), "step", against=None),
    "beside": Benchmark(("checkpoint", "mim:small", "--rounds", "15"), "checkpoint", against=None),
}
"""By name; {store} is one of 20 synthetic hearts."""

PLAIN_VIT = ("--data.layout.size", "224", "224", "--train.batch", "256", "--model.no-scan")
DINO_OF_2021 = ("--method.targets", "centre", "--method.koleo", "0", "--method.ibot", "0", "--model.drop-path", "0")
ON_H200 = {
    "simclr-vit-s": Benchmark(("step", "simclr:vit", *PLAIN_VIT, "--model.no-remat"), "step", against=None),
    "simclr-vit-b": Benchmark(
        ("step", "simclr:vit", *PLAIN_VIT, "--model.no-remat", "--model.width", "768", "--model.heads", "12"),
        "step",
        against=None,
    ),
    "dino-vit-s": Benchmark(("step", "dino:vit", *PLAIN_VIT, "--model.no-remat", *DINO_OF_2021), "step", against=None),
    "dino-vit-s-torch": Benchmark(
        ("step", "dino:vit", *PLAIN_VIT, "--model.no-remat", *DINO_OF_2021), "against", against="torch.compile"
    ),
    "mae-vit-b": Benchmark(("step", "mae", *PLAIN_VIT), "step", against=None),
    "loss": Benchmark(("loss", "--rows", "65536"), "loss"),
    **{name: Benchmark(("step", name), "step", against=None) for name in ("simclr", "dino", "mim")},
    "fed": Benchmark(("step", "mim:small", "--fed", "--data.store", "{store}"), "step", against=None),
    "beside": Benchmark(("checkpoint", "mim:small", "--rounds", "15"), "checkpoint", against=None),
}
"""The same where there is an accelerator."""


@dataclass(frozen=True)
class Target:
    """What is aimed at, and where it is found; none where a line does not tell it."""

    what: str
    aim: str
    figure: Callable[[Mapping[str, Line]], float | None]
    met: Callable[[float], bool] | None = None
    """Whether a figure is what was aimed at; none where it is only reported."""


def of_peer(name: str, what: str, side: str, inverse: bool = False) -> Callable[[Mapping[str, Line]], Any]:
    """How many times jaxssl's time or memory the other side takes, or the inverse of it."""

    def figure(lines: Mapping[str, Line]) -> float | None:
        ratio = lines[name]["sides"].get(side, {}).get(f"{what}_ratio")
        return 1 / ratio if ratio and inverse else ratio

    return figure


def at_least(bound: float) -> Callable[[float], bool]:
    return lambda figure: figure >= bound


def at_most(bound: float) -> Callable[[float], bool]:
    return lambda figure: figure <= bound


def step_of(what: str, name: str, bound: float | None = None) -> list[Target]:
    """CPU time and memory of a step, in those of PyTorch."""
    aim = "as near as XLA allows" if bound is None else f"<= {bound:.1f}"
    time = of_peer(name, "cpu", TORCH, inverse=True)
    memory = of_peer(name, "memory", TORCH, inverse=True)
    return [
        Target(f"step of {what}: CPU time in torch eager's", aim, time, None if bound is None else at_most(bound)),
        Target(f"step of {what}: memory above idle in torch's", "<= 1.2", memory, at_most(1.2)),
    ]


FED = Target(
    "mim:small fed by a store, of a batch that is there",
    ">= .95 on a CPU, .97 on a GPU",
    lambda lines: lines["fed"]["fed_of_fixed"],
)
BESIDE = Target(
    "mim:small, share of all beside forward and backward pass",
    "<= .02",
    lambda lines: lines["beside"]["share"],
    at_most(0.02),
)
OF_CPU = [
    Target(
        "contrastive loss, 8,192 pairs: plain torch takes, times",
        ">= 4.5",
        of_peer("loss", "cpu", PLAIN),
        at_least(4.5),
    ),
    Target("the same: as lightly computes it", ">= 7.5", of_peer("loss", "cpu", LIGHTLY), at_least(7.5)),
    Target(
        "the same: memory above idle of plain torch, times", ">= 40", of_peer("loss", "memory", PLAIN), at_least(40)
    ),
    Target(
        "loss of 32,768 pairs: MB above idle",
        "<= 100",
        lambda lines: lines["loss-large"]["sides"][OURS]["memory"] / 1e6,
        at_most(100),
    ),
    Target(
        "the same: gradient against float64, of the largest",
        "<= 1e-5",
        lambda lines: lines["loss-large"]["against_float64"][OURS],
        at_most(1e-5),
    ),
    Target(
        "the same: CPU time in that of half the pairs",
        "<= 4.2",
        lambda lines: lines["loss-large"]["sides"][OURS]["cpu"] / lines["loss-half"]["sides"][OURS]["cpu"],
        at_most(4.2),
    ),
    *step_of("DINO, ViT-Ti/16, 2 x 128 + 6 x 64 px", "dino-vit-ti", 1.0),
    *step_of("MAE, ViT-S/8, 128 px", "mae-vit-s", 1.0),
    *step_of("SimCLR, ResNet-18, 128 px", "simclr-resnet18"),
    *step_of("SimCLR, ResNet-50, 128 px", "simclr-resnet50"),
    *step_of("segmentation, study B's U-Net, 128 px", "segment-unet"),
    Target(
        "mim:small, step traced and compiled from a cache: seconds",
        "<= 2",
        lambda lines: lines["start"]["cached_compile_seconds"],
        at_most(2),
    ),
    Target("the same without a cache: seconds", "none", lambda lines: lines["start"]["compile_seconds"]),
    Target(
        "loading, 80 px: a DataLoader of 2 workers takes, times",
        ">= 10",
        of_peer("loader", "wall", LOADER),
        at_least(10),
    ),
    Target("loading, 256 px: the same", ">= 10", of_peer("loader-256", "wall", LOADER), at_least(10)),
    Target(
        "views, 80 px: a DataLoader of 2 workers takes, times", ">= 2", of_peer("augment", "cpu", LOADER), at_least(2)
    ),
    Target("views, 256 px: the same", ">= 2", of_peer("augment-256", "cpu", LOADER), at_least(2)),
    Target("views, 80 px: kornia takes, times", ">= 5", of_peer("augment", "cpu", KORNIA), at_least(5)),
    Target("views, 256 px: the same", ">= 5", of_peer("augment-256", "cpu", KORNIA), at_least(5)),
    replace(FED, met=at_least(0.95)),
    BESIDE,
]


def utilised(what: str, name: str, bound: float) -> Target:
    """Share of what the chip can."""
    return Target(f"{what}: MFU", f">= {bound}", lambda lines: lines[name]["mfu"], at_least(bound))


def pretrained(name: str, bound: float) -> Target:
    """Minutes of study B's pretraining: 100 epochs of 90,618 slices."""

    def minutes(lines: Mapping[str, Line]) -> float:
        return 100 * 90_618 / lines[name]["images_per_second"] / 60

    return Target(f"study B's pretraining by {name}: minutes", f"<= {bound:.0f}", minutes, at_most(bound))


OF_H200 = [
    utilised("SimCLR, ViT-S/16, 224 px", "simclr-vit-s", 0.45),
    utilised("SimCLR, ViT-B/16, 224 px", "simclr-vit-b", 0.55),
    utilised("DINO, ViT-S/16, 2 x 224 + 8 x 96 px", "dino-vit-s", 0.40),
    Target("the same: torch eager takes, times", ">= 3", of_peer("dino-vit-s-torch", "wall", TORCH), at_least(3)),
    Target(
        "the same: torch.compile takes, times", ">= 1.3", of_peer("dino-vit-s-torch", "wall", COMPILED), at_least(1.3)
    ),
    utilised("MAE, ViT-B/16, 224 px", "mae-vit-b", 0.50),
    Target("loss of 65,536 rows: ms", "<= 5", lambda lines: 1e3 * lines["loss"]["sides"][OURS]["wall"], at_most(5)),
    Target(
        "the same: MB above idle", "<= 100", lambda lines: lines["loss"]["sides"][OURS]["memory"] / 1e6, at_most(100)
    ),
    pretrained("simclr", 20),
    pretrained("dino", 45),
    pretrained("mim", 20),
    replace(FED, met=at_least(0.97)),
    BESIDE,
]


@dataclass(frozen=True)
class Chip:
    """What is measured on it, what is aimed at, and how sides share it."""

    benchmarks: Mapping[str, Benchmark]
    targets: Sequence[Target]
    shared: tuple[str, ...] = ()


CHIPS = {"cpu": Chip(ON_CPU, OF_CPU, ("--threads", "1")), "h200": Chip(ON_H200, OF_H200)}


def measured(chip: Chip, name: str, folder: Path, python: Path | None) -> Line | None:
    """The line of a benchmark, that which is there if there is one; none where it failed."""
    benchmark, own = chip.benchmarks[name], folder / name
    line = own / f"{benchmark.line}.jsonl"
    if not line.exists():
        words = [word.format(store=folder / "store") for word in benchmark.words]
        if python and benchmark.against:
            words += ["--against", benchmark.against, "--python", str(python), *chip.shared]
        jaxssl("bench", *words, "--out", str(own))
    return json.loads(line.read_text()) if line.exists() else None


def jaxssl(*words: str) -> None:
    """In a process of its own, as memory is that of a process; one that fails says why, and stops no other."""
    print("jaxssl", *words, flush=True)
    subprocess.run([sys.executable, "-m", "jaxssl", *words], check=False)  # noqa: S603 - words of this file


def row(target: Target, lines: Mapping[str, Line]) -> str | None:
    """Of the table; none where its benchmark was not asked for, or failed."""
    try:
        figure = target.figure(lines)
    except KeyError:
        return None
    if figure is None:
        return f"| {target.what} | {target.aim} | was not there | |"
    verdict = "reported" if target.met is None else "met" if target.met(figure) else "**missed**"
    return f"| {target.what} | {target.aim} | {figure:.3g} | {verdict} |"


def main(
    folder: Path, /, python: Path | None = None, only: tuple[str, ...] = (), chip: Literal["cpu", "h200"] = "cpu"
) -> None:
    """Measure, and tell what was aimed at and what is reached.

    Args:
        folder: For all that is measured, and for targets.md.
        python: An interpreter with torch; none leaves PyTorch out.
        only: Some of the benchmarks, by the names of their folders.
        chip: Whose table it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "store").exists():
        jaxssl("data", "phantom", "--out", str(folder / "store"), "--subjects", "20")
    asked = CHIPS[chip]
    found = {name: measured(asked, name, folder, python) for name in only or asked.benchmarks}
    lines = {name: line for name, line in found.items() if line}
    rows = [each for each in (row(target, lines) for target in asked.targets) if each]
    table = "\n".join(["| what | aim | measured | |", "|---|---|--:|---|", *rows])
    (folder / "targets.md").write_text(table + "\n")
    print(table)
    if failed := [name for name in found if name not in lines]:
        sys.exit(f"Failed, as is said above, and missing in the table: {', '.join(failed)}.")


if __name__ == "__main__":
    tyro.cli(main)
