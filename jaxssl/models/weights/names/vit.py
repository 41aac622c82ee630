"""ViT as timm calls it, and what other releases call the same: torchvision, DINO, DINOv2, iBOT, MAE.

torch has one tensor of positions for the class token, the registers and the patches in a row, and a tensor each for
the class token and the registers; we have the grid of patches, the class token's position, and all tokens in one.
Our last norm is of every token; where the mean is pooled, torch may have one of the mean in its place.
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxssl.errors import UserError
from jaxssl.models.positions import sine_cosine
from jaxssl.models.weights.names.built import Built
from jaxssl.models.weights.names.own import REPRESENTATION
from jaxssl.models.weights.names.rows import CONVOLUTION, LINEAR, Joined, Joining, Row, Shapes, Table

ROWS = (
    Row("patch", "patch_embed.proj", CONVOLUTION),
    Row("block{block}/attention_norm", "blocks.{block}.norm1"),
    Row("block{block}/attention/qkv", "blocks.{block}.attn.qkv", LINEAR),
    Row("block{block}/attention/out", "blocks.{block}.attn.proj", LINEAR),
    Row("block{block}/attention_scale", "blocks.{block}.ls1.gamma", leaf=True),
    Row("block{block}/mlp_norm", "blocks.{block}.norm2"),
    Row("block{block}/mlp/in", "blocks.{block}.mlp.fc1", LINEAR),
    Row("block{block}/mlp/out", "blocks.{block}.mlp.fc2", LINEAR),
    Row("block{block}/mlp_scale", "blocks.{block}.ls2.gamma", leaf=True),
    REPRESENTATION,
)
DIALECTS = (
    # torchvision
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_", "blocks."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
    (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
    (r"^encoder\.ln\.", "norm."),
    # DINOv2, whose blocks may lie in chunks and are counted through nevertheless
    (r"^register_tokens$", "reg_token"),
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
    # iBOT
    (r"^masked_embed$", "mask_token"),
)
WIDTHS = {192: "Ti", 384: "S", 768: "B", 1024: "L", 1280: "H", 1536: "g"}
Arrays = Mapping[str, np.ndarray]
GRID, CLASS, TOKENS, MASK = "positions/grid", "positions/token", "tokens", "mask_token"
POS, CLS, REG = "pos_embed", "cls_token", "reg_token"
SIDES = "grid"
"""What metadata call the patches along y and x, "14x7"."""
NORM = {"norm/scale": "norm.weight", "norm/bias": "norm.bias"}
POOLED_NORM = {path: f"fc_{name}" for path, name in NORM.items()}
Sides = tuple[int, int]
"""Patches along y and x."""


def network(shapes: Shapes) -> str | None:
    """The published letter and the side of a patch, and the depth; other transformers have such blocks as well."""
    if "patch_embed.proj.weight" not in shapes:
        return None
    width, _, *patch = shapes["patch_embed.proj.weight"]
    depth = len({match[1] for name in shapes if (match := re.match(r"blocks\.(\d+)\.attn\.", name))})
    letter = WIDTHS.get(width)
    side = "x".join(map(str, sorted(set(patch))))
    return f"ViT-{letter}/{side} of {depth} blocks" if letter else f"ViT of width {width}, patch {side}, {depth} blocks"


def out(model: Any, ours: Arrays, size: Sides) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """One row of positions, zero for registers and for a class token that has none, as timm adds them by default.

    How the row is to be folded its shape cannot say: that goes with it as metadata.
    """
    has_class = model.pool == "token"
    if GRID in ours:
        grid = ours[GRID]
    else:
        sides = (size[0] // model.patch_size[0], size[1] // model.patch_size[1])
        grid = np.asarray(sine_cosine(*sides, model.width, np.float32))
    places = grid.reshape(-1, model.width)
    of_class = ours.get(CLASS, np.zeros(model.width, places.dtype))[None][:has_class]
    of_registers = np.zeros((model.registers, model.width), places.dtype)
    tensors = {POS: np.concatenate([of_class, of_registers, places])[None]}
    if has_class:
        tensors[CLS] = ours[TOKENS][None, :1]
    if model.registers:
        tensors[REG] = ours[TOKENS][None, has_class:]
    if MASK in ours:
        tensors[MASK] = ours[MASK][None]
    tensors |= {name: ours[path] for path, name in NORM.items()}
    return tensors, {SIDES: f"{grid.shape[0]}x{grid.shape[1]}"}


def back(model: Any, shapes: Shapes, tensors: Arrays, metadata: Mapping[str, str], where: str) -> Joining:
    """Tokens and positions as we have them; what another network would want is refused, with `where` it lies."""
    found = Joining({}, {}, {})
    tokens = {name: tensors[name].reshape(-1, tensors[name].shape[-1]) for name in tensors}
    _refuse_other_registers(model, tokens, where)
    if model.pool == "mean" and CLS in tokens:
        found.left[CLS] = "model.pool is mean: no class token"
    if MASK in tokens:
        found.arrays[MASK] = tokens[MASK][0]
    _add_norm(model, tokens, found)
    if model.pool == "token" and CLS not in tokens:
        return found
    of_class, of_registers, places = _split(tokens, _grids(shapes, metadata), where)
    if places is not None and model.positions == "learnt":
        found.arrays[GRID] = places
    elif places is not None:
        _refuse_learnt(places, where)
        found.left[POS] = "the same sines and cosines are computed here"
    _add_tokens(model, tokens, of_class, of_registers, found)
    return found


def _add_norm(model: Any, tokens: Arrays, found: Joining) -> None:
    """The norm of the tokens, or where a file has none but that of their mean, which is all that is pooled: that."""
    found.arrays.update({path: tokens[name][0] for path, name in NORM.items() if name in tokens})
    only = not found.arrays.keys() & NORM.keys()
    for path, name in POOLED_NORM.items():
        if name not in tokens:
            continue
        if only and model.pool == "mean":
            found.arrays[path] = tokens[name][0]
            found.changed[name] = "normalises each token here, their mean there"
        else:
            found.left[name] = "a norm of the mean of tokens, which are normalised themselves here"


def _add_tokens(model: Any, tokens: Arrays, of_class: np.ndarray, of_registers: np.ndarray, found: Joining) -> None:
    """The class token and the registers in one; positions for which we have no parameter become part of them."""
    rows = []
    if CLS in tokens and model.pool == "token":
        keeps = model.positions == "learnt"
        rows.append(tokens[CLS] if keeps else _with(CLS, tokens, of_class, found))
        found.arrays.update({CLASS: of_class} if keeps else {})
    if REG in tokens:
        rows.append(_with(REG, tokens, of_registers, found))
    if rows:
        found.arrays[TOKENS] = np.concatenate(rows)


def _with(name: str, tokens: Arrays, positions: np.ndarray, found: Joining) -> np.ndarray:
    if not positions.any():
        return tokens[name]
    found.changed[name] = "with its position in pos_embed"
    return tokens[name] + positions


def _refuse_other_registers(model: Any, tokens: Arrays, where: str) -> None:
    there = len(tokens.get(REG, ()))
    if there != model.registers and tokens.keys() & {POS, CLS, REG}:
        raise UserError(
            f"{where}: its ViT has {there} registers (reg_token) and the recipe's {model.registers}: "
            f"set model.registers to {there}, or choose another file."
        )


def _grids(shapes: Shapes, metadata: Mapping[str, str]) -> list[Sides | None]:
    """On what grids the patches may lie, none standing for a square: what the file says, or else ours or a square."""
    if told := re.fullmatch(r"(\d+)x(\d+)", metadata.get(SIDES, "")):
        return [(int(told[1]), int(told[2]))]
    return [(shapes[GRID][0], shapes[GRID][1]), None] if GRID in shapes else [None]


def _split(
    tokens: Arrays, grids: Iterable[Sides | None], where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Positions [d] of the class token, [registers, d] of registers, [y, x, d] of patches; zeros for tokens without.

    Releases differ in what has a place in the row: all, the class token alone, or only the patches. These lie in the
    first of the `grids` of which the count is right.
    """
    registers, classes = len(tokens.get(REG, ())), int(CLS in tokens)
    if POS not in tokens:
        return np.zeros(1), np.zeros((registers, 1)), None
    row = tokens[POS]
    width = row.shape[-1]
    for grid, before in itertools.product(grids, dict.fromkeys((classes + registers, classes, 0))):
        count = len(row) - before
        sides = grid or (math.isqrt(max(count, 0)),) * 2
        if count > 0 and sides[0] * sides[1] == count:
            of_class = row[0] if before and classes else np.zeros(width, row.dtype)
            own = row[classes:before] if before > classes else np.zeros((registers, width), row.dtype)
            return of_class, own, row[before:].reshape(*sides, width)
    raise UserError(
        f"{where}: its pos_embed has {len(row)} places, which are no square grid of patches with or without "
        f"{classes} class token and {registers} registers; interpolate it to one, or choose another file."
    )


def _refuse_learnt(places: np.ndarray, where: str) -> None:
    height, width, channels = places.shape
    if channels % 4 or np.abs(places - np.asarray(sine_cosine(height, width, channels, np.float32))).max() > 1e-4:
        raise UserError(
            f"{where}: its positions (pos_embed) are learnt, the recipe's fixed; set model.positions to learnt."
        )


def built(model: Any, shapes: Shapes, size: Sides) -> Built:
    """Every ViT: what timm does by default is said as well, where it has changed between releases."""
    has_class = model.pool == "token"
    # Any factors but 0 make timm have them at all; their values come with the file.
    factors = None if model.layer_scale is None else model.layer_scale or 1.0
    keywords = {
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
    return Built("vision_transformer.VisionTransformer", keywords)


TABLE = Table(
    rows=lambda shapes: ROWS,
    telltale=r"blocks\.0\.attn\.",
    network=network,
    built=built,
    dialects=DIALECTS,
    joined=Joined(
        ours={GRID: POS, CLASS: POS, TOKENS: CLS, MASK: MASK, **NORM},
        theirs=frozenset((POS, CLS, REG, MASK, *NORM.values(), *POOLED_NORM.values())),
        out=out,
        back=back,
    ),
)
