"""BYOL: each view predicts what a slowly moving teacher makes of the other; nothing repels (Grill et al. 2020)."""

from dataclasses import dataclass

from jaxssl.errors import UserError
from jaxssl.methods import pairs, parts, teacher
from jaxssl.methods.base import Method, Seen, Spec
from jaxssl.methods.network import Network
from jaxssl.methods.pairs import VIEWS, by_sample, in_rows
from jaxssl.objectives import regression_loss


@dataclass(frozen=True)
class Options(pairs.Options):
    """Projector, predictor and teacher; the defaults are study A's."""

    projector: tuple[int, ...] = (4096, 128)
    projector_norm: bool = True
    predictor: tuple[int, ...] = (4096, 128)
    """Widths of the predictor's layers, normalised like the projector's; the last is the projector's last."""
    momentum: float = 0.99
    """How much of the teacher is kept at a step."""
    rising: bool = False
    """Let the momentum rise to 1 along half a cosine, as Grill et al. do."""

    def check(self) -> None:
        super().check()
        if self.predictor[-1:] != self.projector[-1:]:
            raise UserError(
                f"method.predictor {self.predictor} must end at the width of method.projector {self.projector}, "
                "whose output it predicts."
            )
        if not 0 <= self.momentum < 1:
            raise UserError(f"method.momentum is a share from 0 to below 1, not {self.momentum}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone. Evaluation and others are given the student."""
    rows = VIEWS * model.group
    # What a batch norm in the predictor takes away is no use as a bias: its gradient would be rounding noise.
    lost = options.projector_norm and model.norm is not None and model.norm.takes_bias_away
    projector = pairs.head(options, options.projector, model, spec, rows, bias=not lost)
    predictor = pairs.head(options, options.predictor, model, spec, rows)
    target = Network({"encoder": model.encoder(dtype=spec.dtype, rows=rows), "head": projector}, on="embedding")
    student = Network({**target.modules, "predictor": predictor}, on="embedding")

    def init(key, views):
        params, statistics = student.start(key, views[:, 0])
        return params, {"statistics": statistics, "teacher": teacher.copy(params, statistics, target.modules)}

    def forward(params, carry, views, keys, progress):
        del progress
        images, keys = in_rows(views), parts.keys_of_views(keys, VIEWS)
        predictions, moments, _ = student.train(params, carry["statistics"], images, keys)
        # The teacher normalises by groups too; its running statistics follow the student's, so its moments are unused.
        targets, _, _ = target.train(carry["teacher"]["params"], carry["teacher"]["statistics"], images, keys)
        return Seen(by_sample(predictions), by_sample(targets), moments)

    def objective(params, carry, seen, batch, progress):
        del params, carry, batch, progress
        # Mean over both views of 2 - 2 cos, times 2: the sum of both directions.
        loss = VIEWS * regression_loss(seen.outputs, seen.fixed[:, ::-1])
        return loss, {"monitor": {**parts.spread(in_rows(seen.fixed)), "positive_similarity": 1 - loss / 4}}

    def update(params, carry, statistics, moments, progress):
        moved = parts.update(model.norm)(params, carry, statistics, moments, progress)
        momentum = teacher.cosine(options.momentum, 1.0, progress) if options.rising else options.momentum
        return {**moved, "teacher": teacher.follow(carry["teacher"], params, moved["statistics"], momentum, progress)}

    views = pairs.views_of(options, spec)
    return Method(views, init, forward, objective, update, parts.of_dicts, pictures=pairs.pictures)
