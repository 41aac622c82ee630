"""The planes of other views of a study, which cut an image in lines: pretexts from geometry alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from jaxssl.data.cache import Cache
from jaxssl.data.columns import FIELDS
from jaxssl.data.store import Store
from jaxssl.errors import UserError


def guests_of(cache: Cache, views: Sequence[str]) -> Mapping[str, Shaped[np.ndarray, "studies guests *rest"]]:
    """The plane that each study has of each view: the fields of a plane, `thickness`, and `valid` where it has one.

    Of a stack it is the middle slice. A plane whose place in the patient is unknown is none.
    """
    known = cache.names["view"]
    for view in views:
        if view not in known:
            has = ", ".join(known)
            raise UserError(f"data.guests asks for view {view!r}, which {cache.store} lacks; it has {has}.")
    table, shape = cache.table, (len(cache.names["study"]), len(views))
    rows, valid = np.zeros(shape, np.int64), np.zeros(shape, bool)
    placed = np.isfinite(table["origin"]).all(1)
    off_middle = np.abs(table["slice"] - table["slices"] // 2)
    for guest, view in enumerate(views):
        of_view = np.flatnonzero((table["view"] == known.index(view)) & placed)
        if not len(of_view):
            raise UserError(
                f"data.guests asks for view {view!r}, but {cache.store} does not know where those of it lie in the "
                "patient: methods that use lines between planes need files with their geometry."
            )
        best_first = of_view[np.lexsort((off_middle[of_view], table["study"][of_view]))]
        studies, first = np.unique(table["study"][best_first], return_index=True)
        rows[studies, guest], valid[studies, guest] = best_first[first], True
    return {**{key: table[key][rows] for key in (*FIELDS, "thickness")}, "valid": valid}


def placed_guests(store: Store, view: str, guests: Sequence[str]) -> tuple[str, ...]:
    """Those of the guests that a store knows to cut images of a view: the place of both in the patient is known."""
    placed = _placed(store) if store.info.placed is None else store.info.placed
    return tuple(guest for guest in guests if view in placed and guest in placed)


def _placed(store: Store) -> set[str]:
    """Views of a store of an earlier version, which has not counted them, by the first image of each."""
    first: dict[str, bool] = {}
    for record in store.records():
        first.setdefault(record.view, bool(np.isfinite(record.plane.origin).all()))
        if len(first) == len(store.info.views):
            break
    return {view for view, known in first.items() if known}
