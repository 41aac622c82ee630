"""Supervised segmentation: what fine-tuning is, run by the same step as any pretraining."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import jax

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Method, Seen, Spec, for_display
from jaxssl.methods.network import Network
from jaxssl.models.heads import PixelHeads
from jaxssl.numerics import island
from jaxssl.objectives import deep_supervision, segmentation_loss


@dataclass(frozen=True)
class Options:
    """How views are made, at how many scales the decoder is supervised, and what stays as it came."""

    scales: int = 1
    """Decoder levels with a loss of their own; study B uses 6."""
    dice: Literal["image", "batch"] = "image"
    """Whether the Dice loss is that of each image, as in study B, or of all images of a batch together, which minds a
    class that an image lacks."""
    freeze_encoder: bool = False
    """Train decoder and head only; the encoder keeps its weights and its running statistics."""
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        if self.scales < 1:
            raise UserError(f"method.scales must be at least 1, not {self.scales}.")
        if self.dice not in ("image", "batch"):
            raise UserError(f"method.dice={self.dice!r} is none: choose image or batch.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone with a decoder."""
    if not spec.classes:
        raise UserError("Segmentation learns from masks; set data.masks, and choose a store that has some.")
    modules = {
        "encoder": model.encoder(dtype=spec.dtype, rows=model.group),
        "decoder": model.decoder(dtype=spec.dtype, rows=model.group),
        "head": PixelHeads(spec.classes, scales=options.scales, dtype=spec.dtype),
    }
    network = Network(modules, on="features")
    frozen = ("encoder",) if options.freeze_encoder else ()
    loss = partial(segmentation_loss, dice_of=options.dice)

    def views(keys, batch, progress):
        del progress
        image, mask = parts.view(keys, 0, batch, options.augment)
        return {"image": image, "mask": mask}

    def init(key, views):
        params, statistics = network.start(key, views["image"])
        return params, {"statistics": statistics}

    def forward(params, carry, views, keys, progress):
        del progress
        logits, moments, _ = network.train(params, carry["statistics"], views["image"], keys, frozen=frozen)
        return Seen(logits, views["mask"], moments)

    def objective(params, carry, seen, batch, progress):
        del params, carry, batch, progress
        return deep_supervision(loss, seen.outputs, seen.fixed), {}

    def pictures(views, seen):
        del seen
        return {"views/image": for_display(views["image"])}

    def predict(variables, batch):
        params, statistics = parts.apart(variables)
        return jax.nn.softmax(island(network.evaluate(params, statistics, parts.standardised(batch))[0]))

    return Method(
        views,
        init,
        forward,
        objective,
        parts.update(model.norm),
        parts.of_dicts,
        parts.all_but(frozen),
        pictures,
        task="segmentation",
        predict=predict,
    )
