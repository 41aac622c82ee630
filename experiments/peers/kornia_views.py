"""The views of a recipe by kornia, a batch at a time, as its users chain its modules.

    python kornia_views.py '{"images": "images.npy", "batch": 64, "spacing": 2.0,
                             "views": [{"augment": {...}, "size": null, "count": 2}]}'

The ranges and probabilities are those of jaxssl's `Augment`. Each module resamples or changes the batch by itself, and
draws in its own way, so that no view can be compared with jaxssl's. Its blur has one kernel for all strengths.
"""

import math
from collections.abc import Iterator
from typing import Any

import kornia
import kornia.augmentation as K
import numpy as np
import torch
from common import DEVICE, side
from torch import nn

from jaxssl.bench.serve import Side, serve

REACH = 3
"""Standard deviations at which the strongest Gaussian ends; jaxssl goes on to 5."""


def modules(options: dict[str, Any], shape: tuple[int, int], size: tuple[int, int], spacing: float) -> Iterator[Any]:
    """One for each change that is asked for, in the order of jaxssl."""
    if options["crop"] is not None:
        yield K.RandomResizedCrop(size, scale=tuple(options["crop"]), ratio=tuple(options["aspect"]), p=1.0)
    elif size != shape:
        yield K.CenterCrop(size)
    axes = {"y": K.RandomVerticalFlip, "x": K.RandomHorizontalFlip}
    if options["flip"]:
        yield from (axes[axis](p=options["flip"]) for axis in options["flip_axes"])
    if options["rotation"] or options["translation"] or options["scale"] != [1.0, 1.0]:
        shares = tuple(options["translation"] / spacing / side for side in reversed(size))
        yield K.RandomAffine(options["rotation"], shares, tuple(options["scale"]), p=1.0)
    if options["noise"]:
        yield K.RandomGaussianNoise(0.0, options["noise_std"], p=options["noise"])
    if options["blur"]:
        kernel = 2 * math.ceil(REACH * options["blur_sigma"][1]) + 1
        yield K.RandomGaussianBlur((kernel, kernel), tuple(options["blur_sigma"]), p=options["blur"])
    if options["contrast"] != [1.0, 1.0]:
        yield K.RandomContrast(tuple(options["contrast"]), clip_output=False, p=1.0)
    if options["brightness"]:
        yield K.RandomBrightness((1 - options["brightness"], 1 + options["brightness"]), clip_output=False, p=1.0)
    if options["gamma"] != [1.0, 1.0]:
        yield K.RandomGamma(tuple(options["gamma"]), p=1.0)


def make(options: dict[str, Any]) -> Side:
    """All views of the first batch of images, which lies on the device."""
    images = torch.from_numpy(np.load(options["images"])[: options["batch"]].astype(np.float32))[:, None].to(DEVICE)
    images = (images - images.min()) / (images.max() - images.min())
    shape = tuple(images.shape[2:])
    chains = []
    for view in options["views"]:
        size = tuple(view["size"] or shape)
        chain = nn.Sequential(*modules(view["augment"], shape, size, options["spacing"]))
        chains += [chain] * view["count"]

    @torch.no_grad()
    def run(count: int) -> None:
        for _ in range(count):
            for chain in chains:
                chain(images)

    made = side(run)
    made.facts["version"] += f", kornia {kornia.__version__}"
    return made


if __name__ == "__main__":
    serve(make)
