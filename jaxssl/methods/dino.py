"""DINO: a student says of each view of an image what its teacher, its own average, says of another (Caron et al. 2021).

With what DINOv2 (Oquab et al. 2024) added as options: Sinkhorn's balance in place of a centre, KoLeo, and iBOT's hidden
patches.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import parts, teacher
from jaxssl.methods.base import Batch, Method, Progress, Seen, Spec, Tree, for_display
from jaxssl.methods.crops import GLOBAL, CropNetwork, crops
from jaxssl.models.heads import Projector
from jaxssl.models.norm import running
from jaxssl.models.vit import ViT
from jaxssl.numerics import island
from jaxssl.objectives import (
    Targets,
    centred_targets,
    hidden_count,
    koleo_loss,
    next_centre,
    patch_mask,
    prototype_loss,
    prototype_patch_loss,
    sinkhorn_targets,
    target_statistics,
)
from jaxssl.objectives.contrastive import unit_rows


@dataclass(frozen=True)
class Options:
    """Views, teacher, head, and what is minimised; the defaults are study B's."""

    local_views: int = 6
    """Smaller views of each image, beside two of its own size."""
    local_size: tuple[int, int] = (128, 128)
    """Their height and width in pixels."""
    temperature: float = 0.1
    teacher_temperature: tuple[float, float] = (0.02, 0.04)
    """The first and the last, which the last epoch of the warm-up has; each epoch has one, evenly apart."""
    teacher_warmup: int = 30
    """Epochs; with 0 or 1 the last is there at once."""
    teacher: Literal["copied", "apart"] = "copied"
    """Copied, it begins as the student, and its running statistics are an average of the student's. Apart, it is drawn
    by itself and its statistics are of what it sees: two faults of study B's published code, here to be measured. What
    is taken over from a run or a file it begins with all the same, as the student does."""
    momentum: float = 0.996
    """Share of the teacher that a step keeps, at first; it rises to 1 along half a cosine."""
    targets: Literal["centre", "sinkhorn"] = "centre"
    """What keeps the teacher from preferring one prototype for all images."""
    centre_momentum: float = 0.9
    head: tuple[int, ...] = (2048, 2048, 256)
    """Widths of the layers after the encoder, GELU between them; the last is compared with the prototypes."""
    prototypes: int = 8192
    frozen_epochs: float = 1.0
    """For so long the prototypes stay as they were drawn."""
    koleo: float = 0.0
    """Weight of the loss that keeps images apart; DINOv2 has .1."""
    ibot: float = 0.0
    """Weight of the loss on hidden patches, for a ViT; DINOv2 has 1."""
    hidden: float = 0.3
    """Share of the patches of each global view that iBOT hides from the student."""
    block: int | None = None
    """Prototypes that are compared at a time. None chooses as many, from 128 to 8,192, as give a device at most 2^24
    scores to hold; beyond 131,072 rows on a device 128 are more. It changes memory, and results by rounding only."""
    augment: Augment = field(default_factory=Augment)
    local_augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        if min(self.temperature, *self.teacher_temperature) <= 0:
            raise UserError(
                "method.temperature and both of method.teacher_temperature must be above 0, not "
                f"{self.temperature} and {self.teacher_temperature}."
            )
        for name in ("momentum", "centre_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"method.{name} is a share in [0, 1], not {getattr(self, name)}.")
        for name in ("local_views", "teacher_warmup", "frozen_epochs", "koleo", "ibot"):
            if getattr(self, name) < 0:
                raise UserError(f"method.{name} cannot be negative ({getattr(self, name)}).")
        if self.prototypes < 2:
            raise UserError(f"method.prototypes must be at least 2, not {self.prototypes}.")
        if not self.head or min(self.head) < 1:
            raise UserError(f"method.head is widths of at least one layer, each at least 1, not {self.head}.")
        if min(self.local_size) < 1:
            raise UserError(f"method.local_size is a height and a width of at least 1, not {self.local_size}.")
        if self.block is not None and self.block < 1:
            raise UserError(f"method.block must be at least 1 or none, not {self.block}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone; the teacher is what is worth handing on."""
    _check_local(options, model, spec)
    grid, hidden = _hidden(options, model, spec)
    head = Projector(options.head, activation="gelu", dtype=spec.dtype)
    network = CropNetwork(model, head, options.local_views, hidden, spec.dtype)
    move_statistics, apart = parts.update(model.norm), options.teacher == "apart"

    def views(keys, batch, progress):
        del progress
        made = {"global": crops(keys, 0, GLOBAL, batch, options.augment, None)}
        if options.local_views:
            size, count = options.local_size, options.local_views
            made["local"] = crops(keys, GLOBAL, count, batch, options.local_augment, size)
        if hidden:
            made["hidden"] = _masks(keys, options, grid)
        return made

    wide = jnp.promote_types(spec.dtype, jnp.float32)

    def drawn(key, views):
        params, statistics = network.start(key, views)
        return {
            **params,
            "prototypes": {"kernel": _fresh_prototypes(jax.random.fold_in(key, 2), options, wide)},
        }, statistics

    def init(key, views):
        params, statistics = drawn(key, views)
        of_teacher = drawn(jax.random.fold_in(key, 3), views) if apart else (params, statistics)
        of_what = [] if options.targets == "sinkhorn" else ["views", "patches"] if hidden else ["views"]
        return params, {
            "statistics": statistics,
            "teacher": teacher.copy(*of_teacher, params),
            "centre": {kind: jnp.zeros(options.prototypes, wide) for kind in of_what},
        }

    def forward(params, carry, views, keys, progress):
        del progress
        outputs, moments = network.learn(params, carry["statistics"], views, keys)
        known, its_own = network.teach(carry["teacher"]["params"], carry["teacher"]["statistics"], views)
        if apart:
            moments = {**moments, "teacher": jax.lax.stop_gradient(its_own)}
        return Seen(outputs, jax.lax.stop_gradient({k: v for k, v in known.items() if k != "embedding"}), moments)

    def update(params, carry, statistics, moments, progress):
        carry = move_statistics(params, carry, statistics, {"encoder": moments["encoder"]}, progress)
        momentum = teacher.cosine(options.momentum, 1.0, progress)
        follower = teacher.follow(carry["teacher"], params, carry["statistics"], momentum, progress)
        if apart and model.norm is not None:
            seen = running(carry["teacher"]["statistics"]["encoder"], moments["teacher"], model.norm.momentum)
            follower = {**follower, "statistics": {"encoder": seen}}
        return {**carry, "teacher": follower, "centre": statistics["centre"]}

    def handed_on(params, carry):
        del params
        return parts.of_dicts(carry["teacher"]["params"], carry["teacher"])

    def trainable(params, progress):
        everything = jax.tree.map(lambda _: True, params)
        return {**everything, "prototypes": {"kernel": progress.epoch >= options.frozen_epochs}}

    objective = partial(_objective, options)
    return Method(views, init, forward, objective, update, handed_on, trainable, pictures, averaged=True)


def _objective(
    options: Options, params: Tree, carry: Tree, seen: Seen, batch: Batch, progress: Progress
) -> tuple[Array, dict[str, Tree]]:
    """`Method.objective`: views, hidden patches if there are any, and what keeps images apart."""
    del batch
    prototypes = unit_rows(island(params["prototypes"]["kernel"]))
    of_teacher = unit_rows(island(carry["teacher"]["params"]["prototypes"]["kernel"]))
    known = {kind: _to_compare(x) for kind, x in seen.fixed.items()}
    heat = teacher_temperature(options, progress)

    def targets(kind: str) -> Targets:
        if options.targets == "sinkhorn":
            return sinkhorn_targets(known[kind], of_teacher, heat, block_size=options.block)
        return centred_targets(known[kind], of_teacher, carry["centre"][kind], heat, options.block)

    how = {"temperature": options.temperature, "block_size": options.block}
    of_views = targets("views")
    loss = prototype_loss(_to_compare(seen.outputs["views"]), prototypes, of_views, **how)
    embeddings = seen.outputs["embedding"]
    monitor = {**_teacher_monitor(loss, of_views, options.block), **parts.spread(embeddings[:, 0])}
    if "patches" in seen.outputs:
        patches = _to_compare(seen.outputs["patches"])
        monitor["ibot"] = prototype_patch_loss(patches, prototypes, targets("patches"), **how)
        loss += options.ibot * monitor["ibot"]
    if options.koleo:
        # View by view, as the nearest is to be another image; their sum, as in DINOv2.
        monitor["koleo"] = koleo_loss(embeddings[:, 0]) + koleo_loss(embeddings[:, 1])
        loss += options.koleo * monitor["koleo"]
    centre = {
        kind: next_centre(old, known[kind], of_teacher, options.centre_momentum)
        for kind, old in carry["centre"].items()
    }
    return loss, {"centre": centre, "monitor": monitor}


def pictures(views: Tree, seen: Seen) -> dict[str, Array]:
    """`Method.pictures`: both global views and the first local one."""
    del seen
    shown = {"first": views["global"][:, 0], "second": views["global"][:, 1]}
    if "local" in views:
        shown["local"] = views["local"][:, 0]
    return {f"views/{name}": for_display(images) for name, images in shown.items()}


def _masks(keys: Key[Array, " batch"], options: Options, grid: tuple[int, int]) -> Float[Array, "batch view patch"]:
    """Which patches of each global view are hidden, drawn by numbers that no view has."""
    of_masks = GLOBAL + options.local_views + jnp.arange(GLOBAL)
    draw = jax.vmap(lambda key, n: patch_mask(jax.random.fold_in(key, n), grid, options.hidden), (None, 0))
    return jax.vmap(draw, (0, None))(keys, of_masks)


def teacher_temperature(options: Options, progress: Progress) -> Float[Array, ""]:
    """linspace(first, last, warm-up)[epoch], then the last."""
    first, last = options.teacher_temperature
    if options.teacher_warmup < 2:
        return jnp.asarray(last)
    # The epoch is a quotient, which a device may round to just below a whole number.
    epoch = jnp.floor(progress.epoch * (1 + 1e-6))
    return first + (last - first) * jnp.minimum(epoch / (options.teacher_warmup - 1), 1)


def _fresh_prototypes(key: Array, options: Options, dtype: DTypeLike) -> Float[Array, "prototypes dim"]:
    """Uniform in +-1 / sqrt(dim), as a linear layer begins in the published code.

    Only their directions are compared, but their length decides how fast Adam turns them, whose steps it does not know.
    """
    dim = options.head[-1]
    return jax.random.uniform(key, (options.prototypes, dim), dtype, -(dim**-0.5), dim**-0.5)


def _to_compare(projected: Float[Array, "batch view *patch dim"]) -> Float[Array, "view batch *patch dim"]:
    """On the unit sphere and view by view."""
    rows = unit_rows(island(projected).reshape(-1, projected.shape[-1]))
    return rows.reshape(projected.shape).swapaxes(0, 1)


def _teacher_monitor(loss: Array, targets: Targets, block: int | None) -> dict[str, Array]:
    """What tells both ways to collapse: a teacher that says all prototypes of each image, or the same one of all.

    teacher_entropy_share: entropy of what it says of an image, of the largest there is: 1 if all, 0 if one.
    prototype_use_share: the same of the mean over images: 0 if all images have the same one.
    teacher_student_kl: how much of the loss is not the teacher's own entropy, and could be learnt.
    """
    entropy, usage = target_statistics(targets, block)
    largest = math.log(len(usage))
    use = -jnp.sum(jnp.where(usage > 0, usage * jnp.log(jnp.where(usage > 0, usage, 1)), 0))
    return {
        "teacher_entropy": entropy.mean(),
        "teacher_entropy_share": entropy.mean() / largest,
        "prototype_use_share": use / largest,
        "views_loss": loss,
        "teacher_student_kl": loss - entropy.mean(),
        "chance_loss": jnp.asarray(largest),
    }


def _check_local(options: Options, model, spec: Spec) -> None:
    """Refuse local views that are not local, or that the model cannot take."""
    if not options.local_views:
        return
    if any(local > whole for local, whole in zip(options.local_size, spec.size, strict=True)):
        raise UserError(
            f"method.local_size {options.local_size} is larger than the image {spec.size}; choose a smaller one, or "
            "method.local_views 0."
        )
    try:
        model.check_size(options.local_size)
    except UserError as error:
        raise UserError(f"method.local_size: {error}") from error


def _hidden(options: Options, model, spec: Spec) -> tuple[tuple[int, int], int]:
    """The grid of patches, and how many of them iBOT hides: none without it."""
    if not options.ibot:
        return (0, 0), 0
    if not isinstance(model, ViT):
        raise UserError(
            "method.ibot hides patches, which only a ViT has; set method.ibot 0, or take the method mim for hidden "
            "parts of images on a network of convolutions."
        )
    model.check_size(spec.size)
    grid = (spec.size[0] // model.patch_size[0], spec.size[1] // model.patch_size[1])
    count = hidden_count(grid[0] * grid[1], options.hidden)
    if not 0 < count < grid[0] * grid[1]:
        raise UserError(
            f"method.hidden {options.hidden} hides {count} of {grid[0] * grid[1]} patches; choose a share in (0, 1) "
            "that leaves some and hides some."
        )
    return grid, count
