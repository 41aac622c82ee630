"""SimCLR: two views of an image attract, all other views of the batch repel (Chen et al. 2020)."""

from dataclasses import dataclass

from jaxssl.methods import contrastive
from jaxssl.methods.base import Method, Spec


@dataclass(frozen=True)
class Options(contrastive.Options):
    """Those of every contrastive method; the defaults are study B's."""


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone: the only positive of a view is the other one of its image."""
    return contrastive.build(options, model, spec)
