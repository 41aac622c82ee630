"""PCL: views of slices at nearly the same place between base and apex attract, across subjects (Zeng et al. 2021)."""

from dataclasses import dataclass

from jaxssl.errors import UserError
from jaxssl.methods import contrastive
from jaxssl.methods.base import Method, Spec
from jaxssl.methods.contrastive import From, restricted
from jaxssl.objectives import near_position


@dataclass(frozen=True)
class Options(contrastive.Options):
    """Those of every contrastive method, and how near is near; the defaults are study B's."""

    threshold: float = 0.1
    """Positions that differ by less attract; the stack runs from 0 at the base to 1 at the apex."""
    positives: From = "all"
    """Whose slices attract, the other view of an image apart, which always does."""

    def check(self) -> None:
        super().check()
        if self.threshold <= 0:
            raise UserError(f"method.threshold is a distance above 0 between slices, not {self.threshold}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone.

    An image whose position is unknown has one positive, its own other view, so that it still takes part.
    """
    if not spec.positions:
        raise UserError(
            "No image that is trained on knows its place between base and apex, by which slices would attract; take "
            "images of stacks whose order is known, or the method simclr."
        )

    def near(views):
        return restricted(near_position(views["position"], options.threshold), options.positives, views)

    return contrastive.build(options, model, spec, near)
