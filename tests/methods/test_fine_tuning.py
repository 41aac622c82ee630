"""What recipes of fine-tuning take over from those of pretraining, at their real sizes: shapes alone are made."""

from dataclasses import replace

import cases
import jax
import pytest

from jaxssl.methods.parts import fit
from jaxssl.recipe import load_recipe

MAE = {"model.width": 768, "model.heads": 12, "model.positions": "sincos", "model.layer_scale": None}
"""What segment:vit is told to take over the encoder of mae."""


@pytest.mark.parametrize(
    ("pretrained", "tuned"),
    [
        ("awcl", "segment:resnet18"),
        ("awcl", "segment:study_d"),
        ("simclr:study_a", "segment:densenet121"),
        ("simclr:study_a_vgg", "segment:vgg16"),
    ],
)
def test_convolutional_encoders_are_those_of_the_studies(pretrained, tuned):
    before, after = load_recipe(pretrained).model, load_recipe(tuned).model
    assert replace(before, norm=after.norm, representation=()) == after


@pytest.mark.parametrize(("pretrained", "flags"), [("dino:vit", {}), ("mae", MAE)])
def test_a_vit_differs_by_what_no_number_depends_on(pretrained, flags):
    before, after = load_recipe(pretrained).model, load_recipe("segment:vit", flags).model
    how = {name: getattr(after, name) for name in ("drop_path", "remat", "scan", "decoder_widths")}
    assert replace(before, **how) == after


def begun(reference, flags=()):
    """Shapes of the params and the carry, and of the parts that can be handed on."""
    case = load_recipe(reference, dict(flags))
    method, batch = cases.method_of(case), cases.batch_of(case, 2)

    def start(key):
        keys = jax.random.split(key, 2)
        params, carry = method.init(key, method.views(keys, batch, None))
        return params, carry, method.parts(params, carry)

    return jax.eval_shape(start, jax.random.key(0))


@pytest.mark.parametrize(
    ("pretrained", "tuned", "flags", "left"),
    [
        ("simclr:study_a_vgg", "segment:vgg16", {}, ["encoder/representation"]),
        ("dino:vit", "segment:vit", {}, ["encoder/mask_token"]),
        ("mae", "segment:vit", MAE, []),
    ],
)
def test_an_encoder_fits_as_it_is_but_for_what_served_its_pretext(pretrained, tuned, flags, left):
    params, carry, _ = begun(tuned, flags)
    given = begun(pretrained)[-1]["encoder"]
    fitted, said = fit(params, carry, {"encoder": given})
    fresh = params["encoder"], carry["statistics"].get("encoder", {})
    assert jax.tree.map(lambda x: x.shape, fresh) == jax.tree.map(
        lambda x: x.shape, (fitted["encoder"]["params"], fitted["encoder"]["statistics"])
    )
    assert said == [f"{name}: left behind, as there is none here." for name in left]
