"""The images of one slice in the order in which they were taken."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from jaxssl.data.study.loaded import Loaded


def in_time(images: Sequence[Loaded]) -> list[list[Loaded]]:
    """The images of one slice of a series by time; several lists where it was taken several times.

    It was if each time occurs equally often, as in a series that holds magnitude and phase: image k of each time
    belongs to take k. Where times are missing or all the same, the order of the files and of their frames is the only
    one, and there is one take.
    """
    in_file = sorted(images, key=Loaded.place)
    times = np.array([np.nan if each.image.time is None else each.image.time for each in in_file], np.float64)
    if not np.isfinite(times).all() or np.ptp(times) == 0:
        return [in_file]
    moments = defaultdict(list)
    for time, each in sorted(zip(times, in_file, strict=True), key=lambda pair: pair[0]):
        moments[time].append(each)
    if len({len(same) for same in moments.values()}) > 1:
        return [[each for same in moments.values() for each in same]]
    return [list(take) for take in zip(*moments.values(), strict=True)]
