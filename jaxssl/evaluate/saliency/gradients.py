"""Maps from gradients: Grad-CAM (Selvaraju et al. 2017) and integrated gradients (Sundararajan et al. 2017)."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxssl.methods.base import Batch, Method, Tree
from jaxssl.numerics import island

POINTS = 32
"""Of the path from the baseline to the image at which gradients are taken. *Measured* on two runs of
`classify:small`, 16 pairs of synthetic images: what the maps sum to misses the change of log p by 4% of it (16 points:
8 and 9%; Gauss and Legendre's 32, which a network's kinks do not reward: 10 and 5%)."""


@partial(jax.jit, static_argnums=0)
def grad_cam(
    method: Method, variables: dict[str, Tree], batch: Batch, target: Int[Array, " batch"]
) -> Float[Array, "batch image y x"]:
    """Grad-CAM: relu(sum_k w_k A_k), w_k the mean over places of d logit_target / d A_k, drawn to the image's size.

    A are the last feature maps. Each image of a sample has weights of its own.
    """
    assert method.maps is not None  # noqa: S101 - for classifiers that read from it
    assert method.logits is not None  # noqa: S101 - for classifiers that read from it
    maps, logits = island(method.maps(variables, batch)), method.logits
    slope = jax.grad(lambda maps: _of(logits(variables, maps), target).sum())(maps)
    weights = slope.mean(axis=(2, 3), keepdims=True)
    return on_grid(jax.nn.relu((weights * maps).sum(-1)), batch)


def integrated_gradients(
    method: Method,
    variables: dict[str, Tree],
    batch: Batch,
    target: Int[Array, " batch"],
    partners: tuple[str, ...] = (),
    points: int = POINTS,
) -> Float[Array, "batch image y x"]:
    """(x - b) * integral over a in 0..1 of d log p_target(b + a (x - b)) / dx, summed over channels; signed.

    The baseline b is an image of air: the image's own minimum in each channel, as `jaxssl.methods.inputs` clears. Over
    all images of a sample (its own, then its `partners` in this order) the map sums to log p(x) - log p(b), as nearly
    as the midpoint rule with so many points integrates. A logit alone would tell of shifts that all classes share.
    """
    batch = jax.device_put(batch)
    images = [batch["image"], *(batch["partners"][kind]["image"] for kind in partners)]
    ends = jnp.stack([image.astype(batch["mean"].dtype) for image in images], axis=1)
    baseline = ends.min(axis=(2, 3), keepdims=True)
    way, total = ends - baseline, jnp.zeros_like(ends)
    # Point by point from here: in a compiled loop XLA computes convolutions on a CPU four times as slowly.
    for point in range(points):
        shown = baseline + (point + 0.5) / points * way
        total += _slope(method, variables, batch, target, partners, shown)
    return (way * total).sum(-1) / points


@partial(jax.jit, static_argnums=(0, 4))
def _slope(
    method: Method,
    variables: dict[str, Tree],
    batch: Batch,
    target: Int[Array, " batch"],
    partners: tuple[str, ...],
    images: Float[Array, "batch image y x channel"],
) -> Float[Array, "batch image y x channel"]:
    """d log p_target / d images, where these stand in the place of the batch's own."""
    assert method.predict is not None  # noqa: S101 - for classifiers
    predict = method.predict

    def log_probability(images: Float[Array, "batch image y x channel"]) -> Float[Array, ""]:
        found = _of(predict(variables, _showing(batch, partners, images)), target)
        return jnp.log(jnp.maximum(found, jnp.finfo(found.dtype).tiny)).sum()

    return jax.grad(log_probability)(images)


def on_grid(maps: Float[Array, "batch image h w"], batch: Batch) -> Float[Array, "batch image y x"]:
    """Coarse maps interpolated to the pixels of the batch's images."""
    return jax.image.resize(maps, (*maps.shape[:2], *batch["image"].shape[1:3]), "linear")


def _of(answers: Float[Array, "batch class"], target: Int[Array, " batch"]) -> Float[Array, " batch"]:
    """What each sample's target class has."""
    return jnp.take_along_axis(answers, target[:, None], axis=1)[:, 0]


def _showing(batch: Batch, partners: tuple[str, ...], images: Float[Array, "batch image y x channel"]) -> Batch:
    """The batch with other images in the place of its own and of its partners'."""
    shown = {
        kind: {**batch["partners"][kind], "image": images[:, place]} for place, kind in enumerate(partners, start=1)
    }
    return {**batch, "image": images[:, 0], "partners": {**batch.get("partners", {}), **shown}}
