"""Arrays of a file, fitted to a network, with an account of what became of each; nothing is left out silently."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxssl.errors import UserError
from jaxssl.models.fit import deciding, fitted
from jaxssl.models.weights.account import Line, enumerated
from jaxssl.models.weights.paths import Tree, by_path, nested

MAY_BE_FRESH = ("encoder/params/representation/", "encoder/params/mask_token")
"""Of an encoder: what no other network has. Parts other than the encoder may be fresh as a whole."""


OTHER_FORM = "not in the form of model.representation"


class Taken(NamedTuple):
    """Variables by part, and a line for each tensor of the file and for each array that is begun afresh."""

    variables: dict[str, Tree]
    account: list[Line]


@dataclass(frozen=True, eq=False)
class Translation:
    """The tensors of a file as arrays by path, blocks unrolled."""

    tensors: Collection[str]
    """All names in the file."""
    arrays: dict[str, np.ndarray]
    tensor_of: dict[str, str]
    """By path the tensor that it comes from, or would come from."""
    looks_like: str | None
    """What network the file holds, in words."""
    changed: dict[str, str] = field(default_factory=dict)
    """By tensor, how its values became others."""
    left: dict[str, str] = field(default_factory=dict)
    """By tensor, why it is not used."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Tensors that belong to another network than this, and by what path a network would have them here."""


def settle(found: Translation, fresh: Mapping[str, Tree], where: str, network: str) -> Taken:
    """Fit what was found to a fresh network, of which only shapes and types are asked, blocks unrolled.

    `where` names the file and `network` the recipe's, for the sentences that refuse.
    """
    wanted = by_path(fresh)
    _leave_other_representation(found, wanted)
    absent = [path for path in wanted if path not in found.arrays]
    begun = _begun_afresh(absent, found.arrays)
    _refuse_another(found, [path for path in absent if path not in begun], where, network)
    arrays, changes = _fit(found.arrays, fresh)
    _refuse_shapes(found, arrays, wanted, where, network)
    variables = {path: leaf.astype(wanted[path].dtype, copy=False) for path, leaf in arrays.items()}
    return Taken(nested(variables), _account(found, arrays, changes, begun))


def _account(
    found: Translation, arrays: Mapping[str, Any], changes: Mapping[str, str], begun: Iterable[str]
) -> list[Line]:
    lines = {tensor: Line(tensor, "used") for tensor in sorted(found.tensors)}
    for tensor, change in found.changed.items():
        lines[tensor] = Line(tensor, "adapted", change)
    for path, change in changes.items():
        if path in found.arrays:
            tensor = found.tensor_of[path]
            lines[tensor] = Line(tensor, "adapted" if path in arrays else "left", change)
    for tensor, why in found.left.items():
        lines[tensor] = Line(tensor, "left", why)
    return [*lines.values(), *(Line(path, "fresh", "the file has none") for path in begun)]


def _leave_other_representation(found: Translation, wanted: Mapping[str, Any]) -> None:
    """Linear layers on top of an encoder are taken if all are there in this form, or begun afresh."""
    mine = [path for path in wanted if path.startswith(MAY_BE_FRESH[0])]
    if any(path not in found.arrays or found.arrays[path].shape != wanted[path].shape for path in mine):
        for path in [path for path in mine if path in found.arrays]:
            found.left[found.tensor_of[path]] = OTHER_FORM
            del found.arrays[path]


def _begun_afresh(absent: Iterable[str], arrays: Mapping[str, Any]) -> list[str]:
    """Paths for which none came and none need come: of groups that the file lacks as a whole."""

    def group(path: str) -> str:
        part = path.partition("/")[0]
        return part if part != "encoder" else next((name for name in MAY_BE_FRESH if path.startswith(name)), "encoder")

    came = {group(path) for path in arrays} | {"encoder"}
    return [path for path in absent if group(path) not in came]


def _fit(arrays: Mapping[str, np.ndarray], fresh: Mapping[str, Tree]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by path with the shapes of fresh ones where there is a rule, and by path what the rule did."""
    fit, changes = {}, {}
    for part, own in nested(arrays).items():
        variables, sentences = fitted(own, fresh[part])
        # A mask token that did not come is the fresh one, which is no array here.
        fit |= {path: leaf for path, leaf in by_path({part: variables}).items() if isinstance(leaf, np.ndarray)}
        for sentence in sentences:
            name, _, change = sentence.partition(": ")
            changes[f"{part}/params/{name}"] = change.rstrip(".")
    return fit, changes


def _refuse_another(found: Translation, missing: list[str], where: str, network: str) -> None:
    """Refuse a file that lacks tensors, or has some that this network has no place for."""
    lacking = list(dict.fromkeys(found.tensor_of[path] for path in missing))
    if not (lacking or found.unknown):
        return
    faults = [f"it lacks {enumerated(lacking)}"] if lacking else []
    faults += [f"there is no place for {enumerated(list(found.unknown))}"] if found.unknown else []
    paths = [*missing, *found.unknown.values()]
    options = dict.fromkeys(option for path in paths for option in deciding(path))
    see = f"see {', '.join(options)}" if options and found.looks_like == network else "change one of the two"
    raise UserError(f"{_comparison(found, where, network)}: {'; '.join(faults)}; {see}.")


def _refuse_shapes(
    found: Translation, arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Any], where: str, network: str
) -> None:
    different = [
        f"{found.tensor_of[path]} makes {list(leaf.shape)} there and {list(wanted[path].shape)} here"
        for path, leaf in arrays.items()
        if leaf.shape != wanted[path].shape
    ]
    if different:
        raise UserError(f"{_comparison(found, where, network)}: {enumerated(different)}; change one of the two.")


def _comparison(found: Translation, where: str, network: str) -> str:
    if found.looks_like == network:
        return f"{where} does not fit the recipe's {network}"
    there = f"looks like a {found.looks_like}" if found.looks_like else "holds no network that is known here"
    return f"{where} {there}, and the recipe has a {network}"
