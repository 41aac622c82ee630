"""AWCL: views of one anatomy attract where it is known, of one image where it is not (Fu et al. 2022, study D)."""

import zlib
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxssl.errors import UserError
from jaxssl.methods import contrastive
from jaxssl.methods.base import Batch, Method, Spec
from jaxssl.methods.contrastive import From, restricted
from jaxssl.objectives import Rule, same_label, same_subject

Positives = Literal[From, "own_subject"]
"""Whose images may attract: anybody's, not those of the anchor's own slice, study or subject, or only the latter's."""


@dataclass(frozen=True)
class Options(contrastive.Options):
    """Those of every contrastive method, and how many labels are used; the defaults are study D's.

    The labels are those of data.label, made coarser by data.label_groups. The study's head "512-128" is read as a
    hidden layer of 512 and an output of 128, as SimCLR has it.
    """

    temperature: float = 0.5
    projector: tuple[int, ...] = (512, 128)
    ratio: float = 1.0
    """Anatomy ratio: the share of images whose label is used. A larger one keeps the labels of a smaller one."""
    ratio_seed: int = 0
    """Decides which."""
    positives: Positives = "all"
    """Whose images attract, the other view of an image apart, which always does."""

    def check(self) -> None:
        super().check()
        if not 0 <= self.ratio <= 1:
            raise UserError(f"method.ratio is a share from 0 to 1, not {self.ratio}.")
        if self.ratio_seed < 0:
            raise UserError(f"method.ratio_seed must be at least 0, not {self.ratio_seed}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone; without a label the only positive of a view is the other one of its image."""
    if not spec.labels:
        raise UserError("AWCL takes positives from labels; set data.label to one that the store has, such as plane.")

    def of_one_anatomy(views):
        used = jnp.where(chosen(views["id"], options.ratio, options.ratio_seed), views["label"], -1)
        return attracted(same_label(used), options.positives, views)

    return contrastive.build(options, model, spec, of_one_anatomy)


def attracted(rule: Rule, which: Positives, views: Batch) -> Rule:
    """The rule, kept to images of whom `which` says."""
    return rule & same_subject(views["subject"]) if which == "own_subject" else restricted(rule, which, views)


def chosen(ids: Int[Array, " rows"], ratio: float, seed: int) -> Bool[Array, " rows"]:
    """Whether each image is among the share `ratio`: a function of its id and the seed, whatever else there is."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"anatomy ratio"))
    # In float32 always: in another type the same key gives another draw.
    draws = jax.vmap(lambda one: jax.random.uniform(jax.random.fold_in(key, one), dtype=jnp.float32))(ids)
    return draws < ratio
