"""A network held by part: an encoder, and what stands on it in a row."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Tree
from jaxssl.models.features import Features

ENCODER, DECODER = "encoder", "decoder"


@dataclass(frozen=True)
class Network:
    """Modules by part, in their order, the encoder first; the second is given the encoder's features, or the embedding
    alone. What is said of masks goes to the encoder (`hidden` of a ViT)."""

    modules: Mapping[str, nn.Module]
    on: Literal["features", "embedding"]

    def start(self, key: Key[Array, ""], images: Float[Array, "rows y x channel"], **masks) -> tuple[Tree, Tree]:
        """Fresh params and running statistics by part."""
        params, statistics, flow = {}, {}, images
        for place, (part, module) in enumerate(self.modules.items()):
            given = masks if part == ENCODER else {}
            output, variables = module.init_with_output(jax.random.fold_in(key, place), flow, train=False, **given)
            params[part], statistics[part] = variables.get("params", {}), variables.get("statistics", {})
            if part == DECODER:
                _check_size(output[0], images)
            flow = self._next(part, output)
        return params, statistics

    def train(
        self,
        params: Tree,
        statistics: Tree,
        images: Float[Array, "rows y x channel"],
        keys: Key[Array, " rows"],
        frozen: Collection[str] = (),
        **masks,
    ) -> tuple[Any, Tree, Features]:
        """The last output, moments by part, and the encoder's features, all normalised by the groups of these rows.

        Frozen parts are normalised by their running statistics, draw nothing at random and give no moments.
        """
        features: Any = None
        moments, flow = {}, images
        for part, module in self.modules.items():
            variables = params[part], statistics[part]
            if part in frozen:
                output = parts.evaluate(module, *variables, flow)
            else:
                given = {"keys": keys, **masks} if part == ENCODER else {}
                output, moments[part] = parts.train(module, *variables, flow, **given)
            features = output if part == ENCODER else features
            flow = self._next(part, output)
        return flow, moments, features

    def evaluate(self, params: Tree, statistics: Tree, images: Float[Array, "rows y x channel"]) -> Any:
        """The last module's output, every part normalised by its running statistics."""
        flow = images
        for part, module in self.modules.items():
            flow = self._next(part, parts.evaluate(module, params[part], statistics[part], flow))
        return flow

    def _next(self, part: str, output: Any) -> Any:
        return output.embedding if part == ENCODER and self.on == "embedding" else output


def _check_size(finest: Float[Array, "rows h w feature"], images: Float[Array, "rows y x channel"]) -> None:
    """Refuse an image whose odd sides an encoder halved with rounding, so that doubling does not lead back to it."""
    (height, width), (y, x) = finest.shape[1:3], images.shape[1:3]
    if (height, width) != (y, x):
        raise UserError(
            f"This network's decoder gives maps of {height}x{width} pixels for images of {y}x{x}; "
            "choose data.layout.size of sides that can be halved as often as the network does, without a remainder."
        )
