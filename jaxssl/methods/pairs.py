"""What methods share that compare two views of every image: how these are made and shown, and what projects them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import inputs, parts
from jaxssl.methods.base import Batch, Progress, Seen, Spec, for_display
from jaxssl.methods.inputs import Input
from jaxssl.models.heads import Projector

VIEWS = 2


@dataclass(frozen=True)
class Options:
    """What every method of two views has: a projector, and how views are made."""

    projector: tuple[int, ...] = (512, 512)
    """Widths of the projector's layers on the encoder's embedding; the last is what the loss compares."""
    projector_norm: bool = False
    """Normalisation between the projector's layers, as the backbone has it."""
    input: Input = "full"
    """What of an image is shown: all, or with masks the heart, all but a box about it, or it on another background."""
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        if not self.projector:
            raise UserError("method.projector has no layer; give at least the width of the embedding.")


def views_of(options: Options, spec: Spec) -> Callable[[Key[Array, " batch"], Batch, Progress], jax.Array]:
    """`Method.views`: two views of each sample, [batch, 2, y, x, channel].

    Both are of the sample's image, or, where the data bring partners of another phase, the second is of the same slice
    at that phase: temporal positives.
    """
    inputs.check(options.input, spec)

    def views(keys, batch, progress):
        del progress
        first = inputs.shown(options.input, batch, batch)
        second = inputs.shown(options.input, batch["partners"]["phase"], batch) if "phase" in spec.partners else first
        both = [parts.view(keys, i, source, options.augment)[0] for i, source in enumerate((first, second))]
        return jnp.stack(both, axis=1)

    return views


def head(options: Options, widths: tuple[int, ...], model, spec: Spec, rows: int, *, bias: bool = True) -> Projector:
    """A projector on a backbone, normalised like it where the options ask for that."""
    if options.projector_norm and model.norm is None:
        raise UserError(
            "method.projector_norm normalises as the backbone does, and this backbone has no such normalisation: "
            "say --method.no-projector-norm, or choose a backbone with model.norm."
        )
    norm = model.norm if options.projector_norm else None
    return Projector(widths, norm=norm, rows=rows, bias=bias, dtype=spec.dtype)


def in_rows(views: Float[Array, "batch view *rest"]) -> Float[Array, "rows *rest"]:
    """Views one after the other, those of a sample together: both are in one group of normalisation, as in study B."""
    return views.reshape(-1, *views.shape[2:])


def by_sample(rows: Float[Array, "rows dim"]) -> Float[Array, "batch view dim"]:
    """Undo `in_rows`."""
    return rows.reshape(-1, VIEWS, rows.shape[-1])


def pictures(views: Float[Array, "batch view y x channel"], seen: Seen) -> dict[str, jax.Array]:
    """`Method.pictures`: both views."""
    del seen
    return {"views/first": for_display(views[:, 0]), "views/second": for_display(views[:, 1])}
