"""The Python that builds with timm a network whose names a file has, by the signatures that timm 1.0 publishes."""

from collections.abc import Mapping
from typing import Any

from jaxssl.models.densenet import DenseNet
from jaxssl.models.norm import Norm
from jaxssl.models.resnet import ResNet
from jaxssl.models.vgg import VGG
from jaxssl.models.vit import ViT

Keywords = dict[str, str]
Shapes = Mapping[str, tuple[int, ...]]

NOT_OURS = "  # without the representation: not the embedding that jaxssl.load gives"


def lines(model: Any, shapes: Shapes, channels: int, size: tuple[int, int], file: str) -> tuple[str, ...]:
    """Imports, and a line each to build the network, to load the file and to embed; none where timm has no such.

    `shapes` are those of the file's tensors, `size` is that of the images [y, x].
    """
    found = _call(model, shapes, size)
    if found is None:
        return ()
    builder, keywords = found
    keywords = {**keywords, "in_chans": str(channels), "num_classes": "0"}
    imports = ("import timm", "from safetensors.torch import load_file")
    if not isinstance(model, ViT):
        imports = ("from functools import partial", "", "import timm", "import torch", imports[1])
    return (
        *imports,
        "",
        f"model = timm.models.{builder}({', '.join(f'{name}={value}' for name, value in keywords.items())})",
        f'print(model.load_state_dict(load_file("{file}"), strict=False))  # says what did not fit',
        f"embedding = {_embedding(model)}{NOT_OURS if getattr(model, 'representation', ()) else ''}",
    )


def _call(model: Any, shapes: Shapes, size: tuple[int, int]) -> tuple[str, Keywords] | None:
    """What to call with which keywords."""
    if isinstance(model, ViT):
        return "vision_transformer.VisionTransformer", _vit(model, size)
    norm = _norm_layer(model.norm, shapes)
    if norm is None:
        return None
    if isinstance(model, ResNet) and model.width == 64 and len(model.blocks) == 4:
        return "resnet.ResNet", {**_resnet(model), "norm_layer": norm}
    if isinstance(model, DenseNet) and model.width == 2 * model.growth and len(model.layers) == 4:
        return "densenet.DenseNet", {**_densenet(model), "norm_layer": norm}
    if isinstance(model, VGG):
        return "vgg.VGG", {**_vgg(model), "norm_layer": norm}
    return None


def _resnet(model: ResNet) -> Keywords:
    block = "Bottleneck" if model.bottleneck else "BasicBlock"
    return {"block": f"timm.models.resnet.{block}", "layers": str(model.blocks)}


def _densenet(model: DenseNet) -> Keywords:
    return {"growth_rate": str(model.growth), "block_config": str(model.layers)}


def _vgg(model: VGG) -> Keywords:
    levels = zip(model.depths, model.widths, strict=True)
    return {"cfg": str([layer for depth, width in levels for layer in (*[width] * depth, "M")])}


def _vit(model: ViT, size: tuple[int, int]) -> Keywords:
    has_class = model.pool == "token"
    # Any factors but 0 make timm have them at all; their values come with the file.
    factors = None if model.layer_scale is None else model.layer_scale or 1.0
    return {
        "img_size": str(size),
        "patch_size": str(model.patch_size),
        "embed_dim": str(model.width),
        "depth": str(model.depth),
        "num_heads": str(model.heads),
        "mlp_ratio": str(model.mlp_ratio),
        "init_values": str(factors),
        "reg_tokens": str(model.registers),
        "no_embed_class": "False",
        "class_token": str(has_class),
        "global_pool": '"token"' if has_class else '"avg"',
        "fc_norm": "False",
    }


def _norm_layer(norm: Norm | None, shapes: Shapes) -> str | None:
    """What makes a normalisation of so many channels; none where timm would make other groups of some of them."""
    if norm is None:
        return "None"
    if norm.type == "batch":
        return f"partial(torch.nn.BatchNorm2d, eps={norm.epsilon})"
    groups = norm.channel_groups
    scales = [shape[0] for name, shape in shapes.items() if name.endswith(".weight") and len(shape) == 1]
    if any(channels % groups or channels < 2 * groups for channels in scales):
        return None
    return f"partial(timm.layers.GroupNorm, num_groups={groups}, eps={norm.epsilon})"


def _embedding(model: Any) -> str:
    """Of images [batch, channel, y, x]. A VGG of timm ends in layers of its own, which the file does not have."""
    if not isinstance(model, VGG):
        return "model.eval()(images)"
    if model.grid == 1:
        return "model.eval().features(images).mean((2, 3))"
    places = f"torch.nn.functional.adaptive_avg_pool2d(model.eval().features(images), {model.grid})"
    return f"{places}.permute(0, 2, 3, 1).flatten(1)"
