"""The training step of a recipe in plain, careful PyTorch, on views that are given.

    python step.py '{"recipe": {...}, "classes": 4, "heat": 0.04, "compiled": false}'

Forward and backward pass, optimiser and teacher of SimCLR, DINO, MAE and segmentation on a ResNet, U-Net or ViT: sizes,
losses and optimiser are the recipe's. Weights and views come from jaxssl, so that losses and gradients can be compared.
On a CPU a network of convolutions has the layout of memory that is faster here. Tried with:

    jaxssl bench step simclr:small@segment:resnet18 --against torch --threads 1 --train.batch 8 --model.norm.group 8 \
        --data.layout.size 128 128
    jaxssl bench step dino@dino:vit --against torch --threads 1 --train.batch 4 --train.precision float32 \
        --data.layout.size 128 128 --method.local-size 64 64 --model.width 192 --model.heads 3 --model.drop-path 0 \
        --model.layer-scale None --model.no-remat --model.no-scan
    jaxssl bench step mae --against torch --threads 1 --train.batch 8 --train.precision float32 --model.no-scan \
        --data.layout.size 128 128 --model.patch 8 --model.width 384 --model.heads 6 --method.decoder.width 256 \
        --method.decoder.depth 4 --method.decoder.heads 8
    jaxssl bench step segment:small --against torch --threads 1 --train.batch 16
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arrays import fill, gradients
from common import DEVICE, ON_CPU, side
from methods import METHODS
from networks import check_norm
from torch import nn

from jaxssl.bench.serve import Side, Unable, serve

TRIED = 2
"""Steps in each layout of memory."""


def optimiser_of(net: nn.Module, options: dict[str, Any]) -> torch.optim.Optimizer:
    """That of the recipe at its peak learning rate."""
    if options["layer_decay"] is not None:
        raise Unable("the peer has one learning rate for all layers; say --optim.layer-decay None")
    matrices = [p for p in net.parameters() if p.ndim > 1 or options["decay"] == "all"]
    others = [p for p in net.parameters() if p.ndim <= 1 and options["decay"] != "all"]
    groups = [{"params": matrices, "weight_decay": options["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if options["name"] == "adamw":
        return torch.optim.AdamW(groups, options["lr"], betas=(0.9, options["beta2"]), fused=True)
    if options["name"] == "sgd":
        return torch.optim.SGD(
            groups, options["lr"], momentum=options["momentum"], nesterov=options["nesterov"], fused=True
        )
    raise Unable(f"the peer has adamw and sgd, and not {options['name']}")


def clip(net: nn.Module, options: dict[str, Any]) -> None:
    """The gradient of each array, or of all together, shortened as the recipe has it."""
    if options["clip_parameter"] is not None:
        found, bound = [p.grad for p in net.parameters() if p.grad is not None], options["clip_parameter"]
        factors = [bound / norm.clamp_min(bound) for norm in torch._foreach_norm(found)]
        torch._foreach_mul_(found, factors)
    if options["clip_norm"] is not None:
        nn.utils.clip_grad_norm_(net.parameters(), options["clip_norm"])


def method_of(recipe: dict[str, Any]) -> str:
    """Options are written as "jaxssl.methods.NAME:Options"."""
    return recipe["method"]["kind"].partition(":")[0].rpartition(".")[2]


def check_recipe(recipe: dict[str, Any]) -> None:
    """Refuse what the peer would do in another way."""
    train, name = recipe["train"], method_of(recipe)
    if name not in METHODS:
        raise Unable(f"there is no peer of {name}; there are those of {', '.join(METHODS)}")
    if train["micro_batches"] != 1 or train["average"] is not None:
        raise Unable("the peer takes a batch in one piece and keeps no average; say --train.micro-batches 1")
    check_norm(recipe["model"], train["batch"])


class Training:
    """A network, its loss on given views, and its optimiser."""

    def __init__(self, options: dict[str, Any], folder: Path):
        recipe = options["recipe"]
        name = method_of(recipe)
        self.method = METHODS[name](recipe, options)
        fill(self.method.net, np.load(folder / "params.npz"))
        self.method.begin()
        self.net = self.method.to(DEVICE).net
        self.loss = torch.compile(self.method.loss) if options["compiled"] else self.method.loss
        self.views = {k: torch.from_numpy(v).to(DEVICE) for k, v in np.load(folder / "views.npz").items()}
        self.optim = recipe["optim"]
        self.optimiser = optimiser_of(self.net, self.optim)
        self.half = recipe["train"]["precision"] == "bfloat16"

    def graded(self) -> torch.Tensor:
        """The loss; gradients lie in the parameters."""
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.half):
            loss = self.loss(self.views)
        loss.backward()
        return loss.detach()

    def step(self) -> None:
        self.graded()
        clip(self.net, self.optim)
        self.optimiser.step()
        self.method.follow()

    def lay_out(self, layout: torch.memory_format) -> None:
        self.method.to(memory_format=layout)
        images = {name: x.contiguous(memory_format=layout) for name, x in self.views.items() if x.ndim == 4}
        self.views |= images

    def choose_layout(self) -> str:
        """The faster one for convolutions, by a few steps of each."""
        if not any(isinstance(module, nn.BatchNorm2d) for module in self.net.modules()):
            return "contiguous"
        seconds = {}
        for layout in (torch.contiguous_format, torch.channels_last):
            self.lay_out(layout)
            self.step()
            began = time.process_time()
            for _ in range(TRIED):
                self.step()
            seconds[layout] = time.process_time() - began
        best = min(seconds, key=seconds.__getitem__) if ON_CPU else torch.channels_last
        self.lay_out(best)
        return str(best).removeprefix("torch.")


def make(options: dict[str, Any]) -> Side:
    """A training that begins when weights and views have come."""
    check_recipe(options["recipe"])
    begun: list[Training] = []

    def check(folder: Path) -> dict[str, Any]:
        training = Training(options, folder)
        loss = float(training.graded())
        np.savez(folder / "torch.npz", **gradients(training.net))
        begun.append(training)
        return {"loss": loss, "layout": training.choose_layout()}

    def run(count: int) -> None:
        for _ in range(count):
            begun[0].step()

    return side(run, check)


if __name__ == "__main__":
    serve(make)
