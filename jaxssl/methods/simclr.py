"""SimCLR: two views of an image attract, all other views of the batch repel (Chen et al. 2020)."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Method, Seen, Spec, for_display
from jaxssl.models.heads import Projector
from jaxssl.objectives import contrastive_loss, same_instance

VIEWS = 2


@dataclass(frozen=True)
class Options:
    """The objective's temperature and block, the projector, and how views are made."""

    temperature: float = 0.1
    projector: tuple[int, ...] = (512, 512, 512)
    """Widths of the projector's layers; the last is the embedding that the loss compares."""
    block: int | None = None
    """Rows of a block of the similarity matrix; none chooses by size."""
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        if self.temperature <= 0:
            raise UserError(f"method.temperature must be above 0, not {self.temperature}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone; both views of a sample share a normalisation group, as in study B."""
    encoder = model.encoder(dtype=spec.dtype, rows=VIEWS * model.group)
    projector = Projector(options.projector, dtype=spec.dtype)

    def views(keys, batch, progress):
        del progress
        return jnp.stack([parts.view(keys, i, batch, options.augment)[0] for i in range(VIEWS)], axis=1)

    def init(key, views):
        first = views[:, 0]
        encoded, statistics = parts.start(encoder, jax.random.fold_in(key, 0), first)
        features = parts.evaluate(encoder, encoded, statistics, first)
        projected, _ = parts.start(projector, jax.random.fold_in(key, 1), features.embedding)
        return {"encoder": encoded, "head": projected}, {"statistics": {"encoder": statistics}}

    def forward(params, carry, views, keys, progress):
        del progress
        rows, keys = views.reshape(-1, *views.shape[2:]), parts.keys_of_views(keys, VIEWS)
        features, moments = parts.train(encoder, params["encoder"], carry["statistics"]["encoder"], rows, keys=keys)
        embeddings = parts.evaluate(projector, params["head"], {}, features.embedding)
        return Seen(embeddings.reshape(*views.shape[:2], -1), None, {"encoder": moments})

    def objective(params, carry, seen, batch, progress):
        del params, carry, progress
        rows = seen.outputs.reshape(-1, seen.outputs.shape[-1])
        loss, aux = contrastive_loss(
            rows,
            same_instance(jnp.repeat(batch["id"], VIEWS)),
            temperature=options.temperature,
            block_size=options.block,
        )
        monitor = {"embedding_std": parts.spread(rows), "anchors_without_positives": aux["anchors_without_positives"]}
        return loss, {"monitor": monitor}

    def pictures(views, seen):
        del seen
        return {"views/first": for_display(views[:, 0]), "views/second": for_display(views[:, 1])}

    return Method(views, init, forward, objective, parts.update(model.norm), parts.of_dicts, pictures=pictures)
