"""Arrays of jaxssl's networks as tensors of the same networks in torch, and back."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

AXES = {nn.Linear: (1, 0), nn.Conv2d: (3, 2, 0, 1), nn.ConvTranspose2d: (0, 3, 1, 2)}
"""Axes of a kernel here in the order in which torch has them."""


class Named(NamedTuple):
    """A parameter, its name in jaxssl, and the order of that one's axes."""

    name: str
    parameter: nn.Parameter
    axes: tuple[int, ...]


def named(net: nn.Module) -> Iterator[Named]:
    """All parameters of a network whose parts have jaxssl's names."""
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            axes = AXES.get(type(module)) if name == "weight" else None
            ours = {"weight": "kernel" if axes else "scale"}.get(name, name)
            yield Named("/".join([*path.split("."), ours]), parameter, axes or tuple(range(parameter.ndim)))


@torch.no_grad()
def fill(net: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Take over the arrays; a parameter that none comes for is a fault."""
    for one in named(net):
        array = np.ascontiguousarray(arrays[one.name].transpose(one.axes))
        one.parameter.copy_(torch.from_numpy(array).reshape(one.parameter.shape))


def gradients(net: nn.Module) -> dict[str, np.ndarray]:
    """By jaxssl's names and in its axes; without a gradient it is 0."""
    return {
        one.name: (torch.zeros_like(one.parameter) if one.parameter.grad is None else one.parameter.grad)
        .float()
        .cpu()
        .numpy()
        .transpose(np.argsort(one.axes))
        for one in named(net)
    }
