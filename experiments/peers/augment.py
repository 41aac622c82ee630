"""A DataLoader whose workers make the views of a recipe, sample by sample, by torch's operations.

    python augment.py '{"images": "images.npy", "batch": 64, "workers": 2, "spacing": 2.0,
                        "views": [{"augment": {...}, "size": null, "count": 2}]}'

The operations, ranges and probabilities are those of jaxssl's `Augment`: a window, an affine map in one bilinear
resampling beyond whose edges there is air, noise, blur, contrast, brightness, gamma. What has not been drawn is not
computed.
"""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import side
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from jaxssl.bench.serve import Side, serve

REACH = 5
"""Standard deviations at which a Gaussian ends: less than 4e-6 of its peak lies beyond."""


def draw_matrix(options: dict[str, Any], shape: tuple[int, int], spacing: float, size: tuple[int, int]) -> torch.Tensor:
    """Pixels (y, x, 1) of the view to pixels of the image, in the order of jaxssl: window, flip, turn, scale, shift."""
    draws = torch.rand(6).tolist()
    shift = [(2 * draw - 1) * options["translation"] for draw in draws[:2]]
    angle = math.radians((2 * draws[2] - 1) * options["rotation"])
    scale = between(options["scale"], draws[3])
    chances = [options["flip"] if axis in options["flip_axes"] else 0.0 for axis in ("y", "x")]
    sign = [-1 / scale if draw < chance else 1 / scale for draw, chance in zip(draws[4:], chances, strict=True)]
    cos, sin = math.cos(angle), math.sin(angle)
    turn = [[sign[0] * cos, sign[0] * sin], [-sign[1] * sin, sign[1] * cos]]
    of = shape if options["crop"] is None else size
    middle = [(side - 1) / 2 for side in of]
    begin = [(whole - part) // 2 for whole, part in zip(of, size, strict=True)]
    moved = [m - b + s / spacing for m, b, s in zip(middle, begin, shift, strict=True)]
    rows = [[*row, m - row[0] * moved[0] - row[1] * moved[1]] for row, m in zip(turn, middle, strict=True)]
    if options["crop"] is not None:
        for row, (step, corner) in zip(rows, draw_window(options, shape, size), strict=True):
            row[:] = [step * row[0], step * row[1], step * row[2] + corner]
    return torch.tensor(rows)


def draw_window(options: dict[str, Any], shape: tuple[int, int], size: tuple[int, int]) -> list[tuple[float, float]]:
    """Step and corner of a random resized crop, for y and x; it lies inside the image."""
    draws = torch.rand(4).tolist()
    height, width = (
        side if view <= side else view * (side - 1) / (view - 1) for side, view in zip(shape, size, strict=True)
    )
    area = min(between(options["crop"], draws[0]) * shape[0] * shape[1], height * width)
    narrow, wide = math.log(area / height**2), math.log(width**2 / area)
    ends = [min(max(math.log(end * size[1] / size[0]), narrow), wide) for end in options["aspect"]]
    ratio = math.exp(between(ends, draws[1]))
    found = []
    for window, view, whole, draw in zip(
        (math.sqrt(area / ratio), math.sqrt(area * ratio)), size, shape, draws[2:], strict=True
    ):
        step = window / view
        margin = max((1 - step) / 2, 0.0)
        room = max(whole - window - 2 * margin, 0.0)
        found.append((step, margin + draw * room + (step - 1) / 2))
    return found


def between(ends: list[float], draw: float) -> float:
    return ends[0] + draw * (ends[1] - ends[0])


def resample(
    matrix: torch.Tensor, image: torch.Tensor, size: tuple[int, int], mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A view [1, y, x] of an image [1, y, x], bilinear, and of its mask, nearest."""
    height, width = image.shape[1:]
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    y, x = (row[0] * rows + row[1] * columns + row[2] for row in matrix)
    # grid_sample wants (x, y), from -1 at the left edge of the first pixel to 1 at the right edge of the last.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)[None]
    air = image.min()
    view = F.grid_sample((image - air)[None], grid, align_corners=False)[0] + air
    if mask is None:
        return view, None
    return view, F.grid_sample(mask[None, None].float(), grid, mode="nearest", align_corners=False)[0, 0].byte()


def change_intensity(image: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    """Noise and blur with their probabilities, then contrast, brightness and gamma."""
    draws = torch.rand(6).tolist()
    if draws[0] < options["noise"]:
        image = image + options["noise_std"] * torch.randn_like(image)
    if draws[1] < options["blur"]:
        image = blurred(image, between(options["blur_sigma"], draws[2]))
    contrast, brightness = between(options["contrast"], draws[3]), (2 * draws[4] - 1) * options["brightness"]
    if contrast != 1 or brightness:
        image = image * contrast + brightness
    if options["gamma"] != [1.0, 1.0]:
        low, high = image.aminmax()
        extent = (high - low).clamp_min(1e-12)
        image = low + extent * ((image - low) / extent) ** between(options["gamma"], draws[5])
    return image


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, along one axis after the other; near the edge the weights inside are made to sum to one."""
    reach = math.ceil(REACH * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    across, down = weights.view(1, 1, 1, -1), weights.view(1, 1, -1, 1)
    image = F.conv2d(F.conv2d(image[None], across, padding=(0, reach)), down, padding=(reach, 0))[0]
    inside = [F.conv1d(torch.ones(1, 1, side), weights.view(1, 1, -1), padding=reach)[0, 0] for side in image.shape[1:]]
    return image / (inside[0][:, None] * inside[1])


class Views(Dataset):
    """All views of a sample, and of its mask where there is one."""

    def __init__(self, options: dict[str, Any]):
        self.images, self.plan, self.spacing = np.load(options["images"]), options["views"], options["spacing"]
        self.masks = np.load(options["masks"]) if options["masks"] else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        image = (torch.from_numpy(self.images[index].astype(np.float32))[None] - 1000) / 577
        mask = None if self.masks is None else torch.from_numpy(self.masks[index])
        return [part for view in self.plan for _ in range(view["count"]) for part in self.view(image, mask, view)]

    def view(self, image: torch.Tensor, mask: torch.Tensor | None, plan: dict[str, Any]) -> list[torch.Tensor]:
        shape, options = tuple(image.shape[1:]), plan["augment"]
        size = tuple(plan["size"] or shape)
        view, moved = resample(draw_matrix(options, shape, self.spacing, size), image, size, mask)
        view = change_intensity(view, options)
        return [view] if moved is None else [view, moved]


def one_thread(worker: int) -> None:
    """Workers share the cores."""
    torch.set_num_threads(1)


def make(options: dict[str, Any]) -> Side:
    """One batch at a time; an epoch follows the other."""
    views = Views(options)
    workers = options["workers"]
    loader = DataLoader(
        views,
        options["batch"],
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
        worker_init_fn=one_thread,
    )
    endless = itertools.chain.from_iterable(itertools.repeat(loader))

    def run(count: int) -> None:
        for _ in range(count):
            next(endless)

    def check(folder: Path) -> None:
        """The view of each matrix, and one of which nothing is left to chance."""
        image = torch.from_numpy(np.load(folder / "image.npy"))[None]
        matrices = torch.from_numpy(np.load(folder / "matrices.npy"))
        shape = tuple(image.shape[1:])
        moved = torch.stack([resample(matrix, image, shape)[0][0] for matrix in matrices])
        certain = views.view(image, None, {"augment": options["certain"], "size": None})[0]
        np.save(folder / "torch.npy", torch.cat([moved, certain]).numpy())

    return side(run, check, on_host=True, workers=True)


if __name__ == "__main__":
    serve(make)
