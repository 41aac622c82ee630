"""Supervised classification: a linear layer on what one encoder makes of all images of a sample; in study A (Nakashima
et al. 2022) these are the ED and the ES image of a slice."""

from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import inputs, parts
from jaxssl.methods.base import Batch, Method, Seen, Spec, Tree, for_display
from jaxssl.methods.inputs import Input
from jaxssl.models.features import Features, pooled
from jaxssl.models.heads import Projector
from jaxssl.models.norm import parameter_type
from jaxssl.objectives import classification_loss, inverse_frequency


@dataclass(frozen=True)
class Options:
    """What of an encoder is classified, how classes are weighed and views are made, and what stays as it came."""

    pool: Literal["map", "embedding"] = "map"
    """The mean of the encoder's last map, or the embedding as the encoder gives it: a ViT's class token, the layers of
    `model.representation`."""
    class_weights: bool = True
    """Weigh each class by the inverse of how many of those that are trained on have it; otherwise all alike."""
    freeze_encoder: bool = False
    """Train the linear layer only, which is linear evaluation; the encoder keeps its weights and running statistics."""
    input: Input = "full"
    """What of an image is shown: all, or with masks the heart, or all but a box about it; `swapped` trains on hearts
    before the background of another subject, and predicts from the whole image."""
    augment: Augment = field(default_factory=Augment)


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone."""
    _check(spec)
    inputs.check(options.input, spec)
    kinds = tuple(kind for kind in spec.partners if kind != "subject")  # which lends its background, and no more
    network, weights = _network(options, model, spec, 1 + len(kinds)), _weights(options, spec)
    frozen = ("encoder",) if options.freeze_encoder else ()

    def views(keys, batch, progress):
        del progress
        shown = _shown(options.input, batch, kinds)
        # One draw for all of them: what differs between ED and ES is the heart, and not the view.
        return jnp.stack([parts.view(keys, 0, each, options.augment)[0] for each in shown], axis=1)

    def init(key, views):
        params, statistics = network.start(key, views)
        return params, {"statistics": statistics}

    def forward(params, carry, views, keys, progress):
        del progress
        logits, moments = network.train(params, carry["statistics"], views, keys, bool(frozen))
        return Seen(logits, None, moments)

    def objective(params, carry, seen, batch, progress):
        del params, carry, progress
        known = batch["label"] >= 0
        right = known & (seen.outputs.argmax(axis=1) == batch["label"])
        monitor = {"accuracy": right.sum() / jnp.maximum(known.sum(), 1), "labelled": known.mean()}
        loss = classification_loss(seen.outputs, batch["label"], jnp.asarray(weights))
        return loss, {"monitor": monitor}

    def features(variables: dict[str, Tree], batch: Batch) -> Features:
        style = "full" if options.input == "swapped" else options.input
        images = jnp.stack([each["image"] for each in _shown(style, batch, kinds)], axis=1)
        own = variables["encoder"]
        return network.encoded(own["params"], own["statistics"], images)

    def maps(variables, batch):
        last = features(variables, batch).maps[-1]
        return last.reshape(-1, network.images, *last.shape[1:])

    def logits(variables, maps):
        return network.logits(variables["head"]["params"], pooled(in_rows(maps)))

    def predict(variables, batch):
        rows = network.taken(features(variables, batch))
        return jax.nn.softmax(network.logits(variables["head"]["params"], rows))

    def pictures(views, seen):
        del seen
        return {f"views/{name}": for_display(views[:, n]) for n, name in enumerate(("image", *kinds))}

    return Method(
        views,
        init,
        forward,
        objective,
        parts.update(model.norm),
        parts.of_dicts,
        parts.all_but(frozen),
        pictures,
        task="classification",
        predict=predict,
        maps=maps if network.of_map else None,
        logits=logits if network.of_map else None,
    )


@dataclass(frozen=True)
class Classifier:
    """One encoder for all images of a sample, and a linear layer on what it makes of them, side by side."""

    encoder: nn.Module
    head: nn.Module
    images: int
    of_map: bool
    """Whether the mean of the last map is classified; otherwise the embedding."""

    def start(self, key: Key[Array, ""], views: Float[Array, "batch image y x channel"]) -> tuple[Tree, Tree]:
        """Parameters and statistics at the start, by part."""
        keys = jax.random.split(key)
        params, statistics = {}, {}
        params["encoder"], statistics["encoder"] = parts.start(self.encoder, keys[0], views[:, 0])
        rows = self.taken(self.encoded(params["encoder"], statistics["encoder"], views))
        params["head"], statistics["head"] = parts.start(self.head, keys[1], side_by_side(rows, self.images))
        return params, statistics

    def train(
        self, params: Tree, statistics: Tree, views: Float[Array, "batch image y x channel"], keys: Array, frozen: bool
    ) -> tuple[Float[Array, "batch class"], Tree]:
        """Logits and, unless the encoder is frozen, its moments by part."""
        own = params["encoder"], statistics["encoder"]
        if frozen:
            features, moments = self.encoded(*own, views), {}
        else:
            keys = parts.keys_of_views(keys, self.images)
            features, of_encoder = parts.train(self.encoder, *own, in_rows(views), keys=keys)
            moments = {"encoder": of_encoder}
        return self.logits(params["head"], self.taken(features)), moments

    def encoded(self, params: Tree, statistics: Tree, views: Float[Array, "batch image y x channel"]) -> Features:
        """What the trained encoder makes of all images."""
        return parts.evaluate(self.encoder, params, statistics, in_rows(views))

    def taken(self, features: Features) -> Float[Array, "rows dim"]:
        """What of an image is classified."""
        return pooled(features.maps[-1]) if self.of_map else features.embedding

    def logits(self, params: Tree, rows: Float[Array, "rows dim"]) -> Float[Array, "batch class"]:
        """Of samples from what is classified of their images."""
        return parts.evaluate(self.head, params, {}, side_by_side(rows, self.images))


def in_rows(images: Float[Array, "batch image *rest"]) -> Float[Array, "rows *rest"]:
    """Images one after the other, those of a sample together."""
    return images.reshape(-1, *images.shape[2:])


def side_by_side(features: Float[Array, "rows dim"], images: int) -> Float[Array, "batch dims"]:
    """The features of a sample's images in one row."""
    return features.reshape(-1, images * features.shape[-1])


def _shown(style: Input, batch: Batch, kinds: tuple[str, ...]) -> list[Batch]:
    """All images of a sample in one style, its own first."""
    return [inputs.shown(style, each, batch) for each in (batch, *(batch["partners"][kind] for kind in kinds))]


def _network(options: Options, model, spec: Spec, images: int) -> Classifier:
    return Classifier(
        # All images of a sample are in one group of normalisation.
        model.encoder(dtype=spec.dtype, rows=images * model.group),
        # In bfloat16 logits that differ by less than 1 in 250 would be equal, and patients tie.
        Projector((spec.labels,), dtype=parameter_type(spec.dtype)),
        images,
        of_map=options.pool == "map",
    )


def _weights(options: Options, spec: Spec) -> Float[np.ndarray, " class"]:
    """Of each class in the loss."""
    counted = options.class_weights and spec.label_counts
    return inverse_frequency(np.array(spec.label_counts)) if counted else np.ones(spec.labels)


def _check(spec: Spec) -> None:
    """Refuse data that a classifier cannot learn from."""
    if not spec.labels:
        raise UserError("Classification learns from a label; set data.label, such as group in the cine phantom.")
    if "phase" in spec.partners:
        raise UserError(
            "A classifier answers the same each time, and a partner of another phase is drawn at random; leave phase "
            "out of data.partners, and set data.plan to ed_es for both ends of the beat."
        )
