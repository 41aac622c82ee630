"""Pictures of which nobody says who is on them: owners of such as nearly are the same are taken for one subject."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from jaxssl.data.datasets import tables
from jaxssl.data.duplicates import clusters
from jaxssl.data.formats import Unreadable, read
from jaxssl.data.formats.image import with_channels


def gathered(owned: Iterable[tuple[str, Path]], source: Path) -> dict[str, str]:
    """The subject of each owner: the first by name of those that are alike, by the first images of their files.

    A file that cannot be read is like no other, and what lies outside the source is not looked at.
    """
    owned = sorted(owned)
    inside = ((owner, file) for owner, file in owned if tables.is_inside(file, source))
    number_of = clusters((owner, grey) for owner, file in inside for grey in _grey(file))
    first: dict[int, str] = {}
    return {
        owner: first.setdefault(number_of[owner], owner) if owner in number_of else owner
        for owner in dict.fromkeys(owner for owner, _ in owned)
    }


def _grey(file: Path) -> Iterator[Shaped[np.ndarray, "y x"]]:
    try:
        yield with_channels(next(read(file)).pixels, 1)[..., 0]
    except (Unreadable, OSError):
        return
