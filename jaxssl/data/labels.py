"""Labels of images as codes, in the granularity that a recipe asks for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxssl.data.cache import Cache
from jaxssl.data.plan import label
from jaxssl.errors import UserError


class Labels(NamedTuple):
    """`codes` of every row of a cache count through `names`; -1 is unknown."""

    names: tuple[str, ...]
    codes: Int[np.ndarray, " n"]


def labels_of(cache: Cache, name: str, groups: Sequence[str] = ()) -> Labels:
    """The label `name` of every image, with some of its values joined: each group is "NEW=old,old,...".

    Values that are in no group keep their own name.
    """
    codes, values = label(cache, name), cache.names[f"label/{name}"]
    joined = {old: new for group in groups for new, olds in [parse(group)] for old in olds}
    if unknown := sorted(joined.keys() - set(values)):
        raise UserError(
            f"data.label_groups names {unknown[0]!r}, which is no value of {name} in {cache.store}; "
            f"those are {', '.join(values)}."
        )
    coarse = [joined.get(value, value) for value in values]
    names = tuple(sorted(set(coarse)))
    # One entry more than there are values, so that -1 finds itself.
    return Labels(names, np.array([*map(names.index, coarse), -1])[codes])


def parse(group: str) -> tuple[str, list[str]]:
    """The new name and the old ones of "NEW=old,old,..."."""
    new, found, old = group.partition("=")
    olds = [value.strip() for value in old.split(",")]
    if not (found and new.strip() and all(olds)):
        raise UserError(f"data.label_groups has {group!r}; write a group as NAME=label,label.")
    return new.strip(), olds
