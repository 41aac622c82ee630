"""Views of two sizes, and the network that sees them: global ones, as large as the image, and smaller local ones."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.augment.each import for_each
from jaxssl.augment.options import Augment
from jaxssl.methods import parts
from jaxssl.methods.base import Batch, Tree
from jaxssl.models.features import Features

GLOBAL = 2
"""Global views of an image."""


def crops(
    keys: Key[Array, " batch"], first: int, count: int, batch: Batch, augment: Augment, size: tuple[int, int] | None
) -> Float[Array, "batch view y x channel"]:
    """`count` views of every sample, of which the first is its view number `first`."""

    # One view is compiled, however many there are.
    numbers = jnp.arange(first, first + count)

    def of_sample(key: Array, sample: Batch) -> Array:
        return for_each(lambda number: parts.view_of(key, number, sample, augment, size)[0], numbers)

    return for_each(of_sample, keys, batch)


@dataclass(frozen=True)
class CropNetwork:
    """An encoder and a head that give, for each view, its embedding and what the head makes of it.

    Views lie in a dict: `global` [batch, view, y, x, channel], `local` if there are any, and `hidden` [batch, view,
    patch], 1 where a student does not see a patch of a global view, if patches are hidden at all. The global views of a
    sample share a normalisation group, and the local ones share another.
    """

    model: Any
    head: nn.Module
    local: int
    hidden: int
    dtype: Any

    def start(self, key: Key[Array, ""], views: Tree) -> tuple[Tree, Tree]:
        """Fresh params and running statistics, by part."""
        images = views["global"][:, 0]
        masks = {"hidden": views["hidden"][:, 0]} if self.hidden else {}
        features, variables = self._encoder(GLOBAL).init_with_output(
            jax.random.fold_in(key, 0), images, train=False, **masks
        )
        projected, _ = parts.start(self.head, jax.random.fold_in(key, 1), features.embedding)
        return {"encoder": variables["params"], "head": projected}, {"encoder": variables.get("statistics", {})}

    def learn(self, params: Tree, statistics: Tree, views: Tree, keys: Key[Array, " batch"]) -> tuple[Tree, Tree]:
        """What a student makes of all views, the global ones first, and the moments of its global views.

        Gives a dict of `embedding`, of global views only, `views`, and `patches`, of hidden ones only and in their
        order; each is [batch, view, ...].
        """
        keys = parts.keys_of_views(keys, GLOBAL + self.local).reshape(len(keys), -1)

        def encode(name: str, keys: Array, **masks) -> tuple[Features, Tree]:
            encoder, images = self._encoder(views[name].shape[1]), _rows(views[name])
            given = params["encoder"], statistics["encoder"]
            return parts.train(encoder, *given, images, keys=keys.reshape(-1), **masks)

        masks = {"hidden": _rows(views["hidden"])} if self.hidden else {}
        features, moments = encode("global", keys[:, :GLOBAL], **masks)
        seen = self._seen(params, features, views)
        if self.local:
            of_local, _ = encode("local", keys[:, GLOBAL:])
            projected = self._project(params, of_local.embedding.reshape(len(keys), self.local, -1))
            seen["views"] = jnp.concatenate([seen["views"], projected], axis=1)
        return seen, {"encoder": moments}

    def teach(self, params: Tree, statistics: Tree, views: Tree) -> tuple[Tree, Tree]:
        """What a teacher makes of the global views, of which it sees every patch, and their moments.

        They are normalised by their own groups, as a student's are, and nothing is left out at random.
        """
        given = params["encoder"], statistics["encoder"], _rows(views["global"])
        if self.model.norm is None:
            features, moments = parts.evaluate(self._encoder(GLOBAL), *given), {}
        else:
            features, moments = parts.train(self._encoder(GLOBAL), *given)
        return self._seen(params, features, views), moments

    def _encoder(self, count: int) -> nn.Module:
        """The same network for any number of views: that of rows in a normalisation group alone depends on it."""
        return self.model.encoder(dtype=self.dtype, rows=count * self.model.group)

    def _seen(self, params: Tree, features: Features, views: Tree) -> dict[str, Array]:
        batch = len(views["global"])
        embedding = features.embedding.reshape(batch, GLOBAL, -1)
        seen = {"embedding": embedding, "views": self._project(params, embedding)}
        if self.hidden:
            patches = features.maps[-1].reshape(*views["hidden"].shape, -1)
            places = jnp.argsort(-views["hidden"], axis=-1, stable=True)[..., : self.hidden, None]
            seen["patches"] = self._project(params, jnp.take_along_axis(patches, places, axis=2))
        return seen

    def _project(self, params: Tree, embeddings: Float[Array, "batch *rest width"]) -> Float[Array, "batch *rest out"]:
        rows = parts.evaluate(self.head, params["head"], {}, embeddings.reshape(-1, embeddings.shape[-1]))
        return rows.reshape(*embeddings.shape[:-1], -1)


def _rows(views: Float[Array, "batch view *rest"]) -> Float[Array, "rows *rest"]:
    return views.reshape(-1, *views.shape[2:])
