"""The networks of jaxssl's recipes as plain PyTorch modules, under the names that jaxssl gives to their parts."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from jaxssl.bench.serve import Unable

Options = dict[str, Any]


def convolution(inside: int, outside: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, side, stride, side // 2, bias=False)


def normalised(options: Options, channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=options["norm"]["epsilon"], momentum=1 - options["norm"]["momentum"])


def check_norm(options: Options, batch: int) -> None:
    """torch normalises a whole batch together."""
    norm = options.get("norm")
    if norm and (norm["type"] != "batch" or norm["group"] != batch):
        raise Unable(
            f"torch normalises the {batch} samples of a batch together; say --model.norm.type batch and "
            f"--model.norm.group {batch}"
        )


class Projector(nn.Module):
    """Linear layers with an activation between them."""

    def __init__(self, inside: int, widths: list[int], activation: nn.Module):
        super().__init__()
        for number, (before, after) in enumerate(pairwise([inside, *widths])):
            self.add_module(f"layer{number}", nn.Linear(before, after))
        self.act = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *layers, last = [layer for layer in self.children() if isinstance(layer, nn.Linear)]
        for layer in layers:
            x = self.act(layer(x))
        return last(x)


class ResidualBlock(nn.Module):
    def __init__(self, options: Options, inside: int, width: int, stride: int):
        super().__init__()
        layers = [(3, stride, width), (3, 1, width)]
        if options["bottleneck"]:
            layers = [(1, 1, width), (3, stride, width), (1, 1, 4 * width)]
        self.count, before = len(layers), inside
        for number, (side, step, after) in enumerate(layers, 1):
            self.add_module(f"conv{number}", convolution(before, after, side, step))
            self.add_module(f"norm{number}", normalised(options, after))
            before = after
        self.width, self.short = before, stride > 1 or inside != before
        if self.short:
            self.shortcut, self.shortcut_norm = convolution(inside, before, 1, stride), normalised(options, before)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x
        for number in range(1, self.count + 1):
            out = F.relu(out) if number > 1 else out
            out = getattr(self, f"norm{number}")(getattr(self, f"conv{number}")(out))
        return F.relu(out + (self.shortcut_norm(self.shortcut(x)) if self.short else x))


class ResNet(nn.Module):
    def __init__(self, options: Options):
        super().__init__()
        self.stem, self.stem_norm = convolution(1, options["width"], 7, 2), normalised(options, options["width"])
        width, self.levels = options["width"], len(options["blocks"])
        for level, count in enumerate(options["blocks"]):
            blocks = nn.Sequential()
            for block in range(count):
                stride = 2 if level and not block else 1
                blocks.add_module(f"block{block}", ResidualBlock(options, width, options["width"] << level, stride))
                width = blocks[-1].width
            self.add_module(f"level{level}", blocks)
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.stem_norm(self.stem(x))), 3, 2, 1)
        for level in range(self.levels):
            x = getattr(self, f"level{level}")(x)
        return x.mean((2, 3))


class ConvNorm(nn.Module):
    def __init__(self, options: Options, inside: int, width: int, stride: int = 1):
        super().__init__()
        self.conv, self.norm = convolution(inside, width, 3, stride), normalised(options, width)
        self.slope = options["slope"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), self.slope)


class Double(nn.Sequential):
    def __init__(self, options: Options, inside: int, width: int, stride: int = 1):
        super().__init__()
        self.add_module("first", ConvNorm(options, inside, width, stride))
        self.add_module("second", ConvNorm(options, width, width))


class UNetEncoder(nn.Module):
    def __init__(self, options: Options):
        super().__init__()
        if options["down"] != "stride" or options["pool"] != "mean" or not options["decoder_norm"]:
            raise Unable("the peer has the U-Net of study B alone")
        for level, (before, width) in enumerate(pairwise([1, *options["widths"]])):
            self.add_module(f"level{level}", Double(options, before, width, 2 if level else 1))
        self.width = options["widths"][-1]

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for level in self.children():
            x = level(x)
            found.append(x)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maps(x)[-1].mean((2, 3))


class UNetDecoder(nn.Module):
    def __init__(self, options: Options):
        super().__init__()
        self.levels = len(options["widths"]) - 1
        for level, (width, below) in enumerate(pairwise(options["widths"])):
            self.add_module(f"up{level}", nn.ConvTranspose2d(below, width, 2, 2))
            self.add_module(f"level{level}", Double(options, 2 * width, width))

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps of all levels, finest first."""
        x, found = maps[-1], []
        for level in reversed(range(self.levels)):
            x = torch.cat([getattr(self, f"up{level}")(x), maps[level]], 1)
            x = getattr(self, f"level{level}")(x)
            found.insert(0, x)
        return found


class PixelHeads(nn.Module):
    def __init__(self, widths: list[int], classes: int, scales: int):
        super().__init__()
        for scale in range(scales):
            self.add_module(f"scale{scale}", nn.Conv2d(widths[scale], classes, 1))

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        return [head(x) for head, x in zip(self.children(), maps, strict=False)]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, scale: float | None):
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.mlp = nn.ModuleDict({"in": nn.Linear(width, hidden), "out": nn.Linear(hidden, width)})
        self.scaled = scale is not None
        if self.scaled:
            self.attention_scale, self.mlp_scale = (nn.Parameter(torch.full((width,), scale)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.attention(self.attention_norm(x))
        x = x + (seen * self.attention_scale if self.scaled else seen)
        said = self.mlp["out"](F.gelu(self.mlp["in"](self.mlp_norm(x))))
        return x + (said * self.mlp_scale if self.scaled else said)


class Blocks(nn.Module):
    """Transformer blocks and a last normalisation."""

    def __init__(self, width: int, depth: int, heads: int, mlp_ratio: float, scale: float | None = None):
        super().__init__()
        self.depth, self.norm = depth, nn.LayerNorm(width, eps=1e-6)
        for number in range(depth):
            self.add_module(f"block{number}", TransformerBlock(width, heads, round(mlp_ratio * width), scale))

    def through(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(self.depth):
            x = getattr(self, f"block{number}")(x)
        return self.norm(x)


class Positions(nn.Module):
    def __init__(self, grid: tuple[int, int], width: int, has_class: bool):
        super().__init__()
        self.grid = nn.Parameter(torch.zeros(*grid, width))
        if has_class:
            self.token = nn.Parameter(torch.zeros(width))

    def forward(self, height: int, width: int) -> torch.Tensor:
        if self.grid.shape[:2] == (height, width):
            return self.grid.flatten(0, 1)
        grid = F.interpolate(self.grid.permute(2, 0, 1)[None], (height, width), mode="bicubic", antialias=True)
        return grid[0].flatten(1).T


def sine_cosine(height: int, width: int, channels: int) -> torch.Tensor:
    """Fixed positions [height * width, channels] of He et al. 2022: first those of x, then those of y."""
    frequencies = 10_000.0 ** (-np.arange(channels // 4) / (channels // 4))
    y, x = (place.reshape(-1, 1) * frequencies for place in np.mgrid[:height, :width])
    return torch.from_numpy(np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)).float()


class ViT(Blocks):
    def __init__(self, options: Options, size: list[int]):
        if options["registers"] or options["drop_path"] or options["decoder_widths"] or options["scan"]:
            raise Unable(
                "the peer's ViT has no registers, stochastic depth, decoder or stacked layers; say --model.registers 0 "
                "--model.drop-path 0 --model.no-scan"
            )
        width = options["width"]
        super().__init__(width, options["depth"], options["heads"], options["mlp_ratio"], options["layer_scale"])
        patch = options["patch"] if isinstance(options["patch"], list) else [options["patch"]] * 2
        self.patch, self.side = nn.Conv2d(1, width, patch, patch), patch
        grid = tuple(side // part for side, part in zip(size, patch, strict=True))
        self.has_class, self.width = options["pool"] == "token", width
        self.positions = Positions(grid, width, self.has_class) if options["positions"] == "learnt" else None
        if self.positions is None:
            self.register_buffer("fixed", sine_cosine(*grid, width), persistent=False)
        if self.has_class:
            self.tokens = nn.Parameter(torch.zeros(1, width))

    def tokens_of(self, x: torch.Tensor, visible: torch.Tensor | None = None) -> torch.Tensor:
        """Normalised tokens of all patches, or of the visible ones, after the class token."""
        x = self.patch(x)
        positions = self.fixed if self.positions is None else self.positions(*x.shape[2:])
        x = x.flatten(2).transpose(1, 2) + positions
        if visible is not None:
            x = torch.gather(x, 1, visible[:, :, None].expand(-1, -1, x.shape[-1]))
        if self.has_class:
            token = self.tokens if self.positions is None else self.tokens + self.positions.token
            x = torch.cat([token.expand(len(x), 1, -1), x], 1)
        return self.through(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.tokens_of(x)
        return x[:, 0] if self.has_class else x.mean(1)


class MaeDecoder(Blocks):
    def __init__(self, options: Options, inside: int, grid: tuple[int, int], values: int, has_class: bool):
        width = options["width"]
        super().__init__(width, options["depth"], options["heads"], options["mlp_ratio"])
        self.embed, self.pixels = nn.Linear(inside, width), nn.Linear(width, values)
        self.mask_token, self.has_class = nn.Parameter(torch.zeros(width)), has_class
        self.register_buffer("fixed", sine_cosine(*grid, width), persistent=False)

    def forward(self, tokens: torch.Tensor, restore: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        seen = x[:, self.has_class :]
        hidden = self.mask_token.to(x.dtype).expand(len(x), restore.shape[1] - seen.shape[1], -1)
        whole = torch.cat([seen, hidden], 1)
        whole = torch.gather(whole, 1, restore[:, :, None].expand(-1, -1, whole.shape[-1])) + self.fixed
        x = self.through(torch.cat([x[:, : self.has_class], whole], 1))
        return self.pixels(x[:, self.has_class :])


def encoder(options: Options, size: list[int]) -> nn.Module:
    """The encoder of a model's options."""
    kind = options["kind"].rpartition(":")[2]
    if options.get("representation"):
        raise Unable("the peer has no layers between the pooled map and the embedding")
    if kind == "ResNet":
        return ResNet(options)
    if kind == "UNet":
        return UNetEncoder(options)
    if kind == "ViT":
        return ViT(options, size)
    raise Unable(f"there is no peer of a {kind}; there are those of ResNet, UNet and ViT")
