"""The backbones once more, in plain torch and under the names of torchvision and timm. All give (maps, embedding)."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


def conv(inside, outside, side, stride=1, bias=False):
    return nn.Conv2d(inside, outside, side, stride, side // 2, bias=bias)


class ResidualBlock(nn.Module):
    def __init__(self, inside, width, stride, bottleneck):
        super().__init__()
        # The 3x3 convolution halves: of a bottleneck the second, of the others the first.
        layers = [(3, stride, width), (3, 1, width)]
        if bottleneck:
            layers = [(1, 1, width), (3, stride, width), (1, 1, 4 * width)]
        self.count, before = len(layers), inside
        for number, (side, step, after) in enumerate(layers, 1):
            setattr(self, f"conv{number}", conv(before, after, side, step))
            setattr(self, f"bn{number}", nn.BatchNorm2d(after))
            before = after
        if stride > 1 or inside != before:
            self.downsample = nn.Sequential(conv(inside, before, 1, stride), nn.BatchNorm2d(before))
        self.width = before

    def forward(self, x):
        out = x
        for number in range(1, self.count + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            out = F.relu(out) if number < self.count else out
        return F.relu(out + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(nn.Module):
    def __init__(self, blocks, width, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
        self.levels, before = len(blocks), width
        for level, count in enumerate(blocks):
            layers = []
            for block in range(count):
                stride = 2 if level and not block else 1
                layers.append(ResidualBlock(before, width * 2**level, stride, bottleneck))
                before = layers[-1].width
            setattr(self, f"layer{level + 1}", nn.Sequential(*layers))

    def forward(self, x):
        maps = [F.relu(self.bn1(self.conv1(x)))]
        x = F.max_pool2d(maps[0], 3, 2, 1)
        for level in range(self.levels):
            x = getattr(self, f"layer{level + 1}")(x)
            maps.append(x)
        return maps, x.mean((2, 3))


class DenseLayer(nn.Module):
    def __init__(self, inside, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), conv(inside, 4 * growth, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth, 3)

    def forward(self, x):
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


class DenseNet(nn.Module):
    def __init__(self, layers, growth, width):
        super().__init__()
        self.features = nn.Module()
        self.features.conv0, self.features.norm0 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
        self.levels = len(layers)
        for level, count in enumerate(layers, 1):
            block = nn.Module()
            for number in range(1, count + 1):
                setattr(block, f"denselayer{number}", DenseLayer(width, growth))
                width += growth
            setattr(self.features, f"denseblock{level}", block)
            if level < self.levels:
                transition = nn.Module()
                transition.norm, transition.conv = nn.BatchNorm2d(width), conv(width, width // 2, 1)
                setattr(self.features, f"transition{level}", transition)
                width //= 2
        setattr(self.features, f"norm{self.levels + 1}", nn.BatchNorm2d(width))

    def forward(self, x):
        features = self.features
        maps = [F.relu(features.norm0(features.conv0(x)))]
        x = F.max_pool2d(maps[0], 3, 2, 1)
        for level in range(1, self.levels + 1):
            for layer in getattr(features, f"denseblock{level}").children():
                x = layer(x)
            maps.append(x)
            if level < self.levels:
                transition = getattr(features, f"transition{level}")
                x = F.avg_pool2d(transition.conv(F.relu(transition.norm(x))), 2)
        maps[-1] = F.relu(getattr(features, f"norm{self.levels + 1}")(x))
        return maps, maps[-1].mean((2, 3))


class VGG(nn.Module):
    def __init__(self, depths, widths, normalised, grid=1, representation=()):
        super().__init__()
        layers, before = [], 3
        for depth, width in zip(depths, widths, strict=True):
            for _ in range(depth):
                layers += [
                    conv(before, width, 3, bias=True),
                    *([nn.BatchNorm2d(width)] if normalised else []),
                    nn.ReLU(),
                ]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features, self.grid = nn.Sequential(*layers), grid
        self.classifier, before = nn.Sequential(), before * grid**2
        for width in representation:
            if len(self.classifier):
                self.classifier.extend([nn.ReLU(), nn.Dropout()])
            self.classifier.append(nn.Linear(before, width))
            before = width

    def forward(self, x):
        maps = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
            x = layer(x)
        return [*maps, x], self.classifier(F.adaptive_avg_pool2d(x, self.grid).flatten(1))


class Scale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5, -1)
        return self.proj((weights @ v).transpose(1, 2).reshape(x.shape))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, scaled):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.ls1, self.ls2 = (Scale(width), Scale(width)) if scaled else (nn.Identity(), nn.Identity())

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x)))))


class ViT(nn.Module):
    """Positions for all tokens, added once they stand in a row, as timm does it by default."""

    def __init__(self, patch, width, depth, heads, places, has_class, registers, scaled):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.extra = has_class + registers
        self.has_class = has_class
        if has_class:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if registers:
            self.reg_token = nn.Parameter(torch.zeros(1, registers, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.extra + places, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, scaled) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        grid = self.patch_embed.proj(x)
        before = [
            getattr(self, name).expand(len(x), -1, -1) for name in ("cls_token", "reg_token") if hasattr(self, name)
        ]
        x = torch.cat([*before, grid.flatten(2).transpose(1, 2)], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        patches = x[:, self.extra :].transpose(1, 2).reshape(grid.shape)
        return [patches], x[:, 0] if self.has_class else patches.mean((2, 3))


class Unit(nn.Module):
    def __init__(self, inside, width, stride):
        super().__init__()
        self.conv, self.norm = conv(inside, width, 3, stride, bias=True), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


def level(inside, width, stride=1):
    both = nn.Sequential()
    both.add_module("first", Unit(inside, width, stride))
    both.add_module("second", Unit(width, width, 1))
    return both


class UNet(nn.Module):
    """Study B: strided convolutions down, transposed ones up. The maps are the decoder's."""

    def __init__(self, widths):
        super().__init__()
        self.encoder, self.decoder, self.levels = nn.Module(), nn.Module(), len(widths)
        for place, (before, width) in enumerate(zip((3, *widths), widths, strict=False)):
            setattr(self.encoder, f"level{place}", level(before, width, 2 if place else 1))
        for place, (width, below) in enumerate(pairwise(widths)):
            setattr(self.decoder, f"up{place}", nn.ConvTranspose2d(below, width, 2, 2))
            setattr(self.decoder, f"level{place}", level(2 * width, width))

    def forward(self, x):
        down, up = [], []
        for place in range(self.levels):
            x = getattr(self.encoder, f"level{place}")(x)
            down.append(x)
        embedding = x.mean((2, 3))
        for place in reversed(range(self.levels - 1)):
            x = torch.cat([getattr(self.decoder, f"up{place}")(x), down[place]], 1)
            x = getattr(self.decoder, f"level{place}")(x)
            up.insert(0, x)
        return up, embedding
