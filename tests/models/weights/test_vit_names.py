"""What torch has otherwise than a ViT here: positions of all tokens in a row, and norms of the mean of tokens."""

from dataclasses import replace

import numpy as np
import pytest
from models.weights.networks import NETWORKS, SIZE, a_file, assert_equal, encoder_of, fates

from jaxssl.errors import UserError
from jaxssl.models.positions import sine_cosine
from jaxssl.models.weights.torch import from_torch, to_torch

VIT = replace(NETWORKS["vit"], decoder_widths=())


def registers_with_positions(tensors):
    """As timm has them by default: every token has a place in the row."""
    moved = tensors["pos_embed"].copy()
    moved[:, 1:3] = 0.5
    return {**tensors, "pos_embed": moved}


def no_place_for_registers(tensors):
    """As DINOv2 has them."""
    return {**tensors, "pos_embed": np.delete(tensors["pos_embed"], [1, 2], axis=1)}


def no_place_for_any_token(tensors):
    """As `no_embed_class` of timm has it."""
    return {**tensors, "pos_embed": tensors["pos_embed"][:, 3:]}


@pytest.mark.parametrize("release", [registers_with_positions, no_place_for_registers, no_place_for_any_token])
def test_positions_of_all_or_some_tokens_mean_the_same(release):
    model = replace(VIT, registers=2)
    parts = encoder_of(model, size=(24, 24))
    tensors = to_torch(model, parts, (24, 24)).tensors
    assert tensors["pos_embed"].shape[1] == 1 + 2 + 9
    assert not tensors["pos_embed"][:, 1:3].any()
    taken = from_torch(model, a_file(release(tensors)), parts)
    params, wanted = taken.variables["encoder"]["params"], parts["encoder"]["params"]
    np.testing.assert_array_equal(params["positions"]["grid"], wanted["positions"]["grid"])
    of_class = wanted["positions"]["token"] * (release is not no_place_for_any_token)
    np.testing.assert_array_equal(params["positions"]["token"], of_class)
    moved = np.array([[0.0], [0.5], [0.5]]) * (release is registers_with_positions)
    np.testing.assert_allclose(params["tokens"], wanted["tokens"] + moved, rtol=1e-6)
    adapted = {name for name, (fate, _) in fates(taken).items() if fate == "adapted"}
    assert adapted == ({"reg_token"} if release is registers_with_positions else set())


def test_fixed_positions_are_compared_and_learnt_ones_are_not_taken_for_them():
    model = NETWORKS["vit, fixed positions"]
    parts = encoder_of(model)
    tensors, metadata = to_torch(model, parts, SIZE)
    np.testing.assert_allclose(
        tensors["pos_embed"][0, 3:], sine_cosine(4, 6, 12, np.float32).reshape(24, 12), atol=1e-6
    )
    taken = from_torch(model, a_file(tensors, metadata), parts)
    assert fates(taken)["pos_embed"] == ("left", "the same sines and cosines are computed here")
    learnt = {**tensors, "pos_embed": tensors["pos_embed"] + 0.01}
    with pytest.raises(UserError, match=r"are learnt, the recipe's fixed; set model\.positions to learnt"):
        from_torch(model, a_file(learnt, metadata), parts)


def test_a_norm_after_pooling_and_a_class_token_that_nobody_asks_for_are_told():
    model = NETWORKS["vit, mean without registers"]
    parts = encoder_of(model)
    tensors, metadata = to_torch(model, parts, SIZE)
    pooled = {
        name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: array
        for name, array in tensors.items()
    }
    pooled["cls_token"] = np.ones((1, 1, 12), np.float32)
    taken = from_torch(model, a_file(pooled, metadata), parts)
    assert_equal(taken.variables, parts)
    assert fates(taken)["fc_norm.weight"] == ("adapted", "normalises each token here, their mean there")
    assert fates(taken)["cls_token"] == ("left", "model.pool is mean: no class token")


def test_of_a_norm_of_tokens_and_one_of_their_mean_that_of_tokens_is_taken():
    why = ("left", "a norm of the mean of tokens, which are normalised themselves here")
    for model in (VIT, NETWORKS["vit, mean without registers"]):
        parts = encoder_of(model)
        tensors, metadata = to_torch(model, parts, SIZE)
        both = tensors | {f"fc_{name}": tensors[name] + 1 for name in ("norm.weight", "norm.bias")}
        taken = from_torch(model, a_file(both, metadata), parts)
        assert_equal(taken.variables, parts)
        assert fates(taken)["norm.weight"] == ("used", "")
        assert fates(taken)["fc_norm.weight"] == fates(taken)["fc_norm.bias"] == why


def test_a_class_token_is_not_normalised_by_the_norm_of_a_mean():
    parts = encoder_of(VIT)
    tensors, metadata = to_torch(VIT, parts, SIZE)
    pooled = {f"fc_{name}" if name.startswith("norm.") else name: array for name, array in tensors.items()}
    with pytest.raises(UserError, match=r"it lacks norm\.(weight, norm\.bias|bias, norm\.weight)"):
        from_torch(VIT, a_file(pooled, metadata), parts)


@pytest.mark.parametrize("registers", [0, 4])
def test_positions_on_no_square_are_folded_as_the_images_of_the_recipe_are(registers):
    """Where no metadata tell: 8 x 2 are no 4 x 4, nor are a class token and 5 x 4 that, four registers and 4 x 4."""
    model = replace(VIT, registers=registers)
    size = (40, 32) if registers else (64, 16)
    parts = encoder_of(model, size=size)
    tensors = to_torch(model, parts, size).tensors
    if registers:
        tensors["pos_embed"] = np.delete(tensors["pos_embed"], range(1, 5), axis=1)
    assert_equal(from_torch(model, a_file(tensors), parts).variables, parts)
