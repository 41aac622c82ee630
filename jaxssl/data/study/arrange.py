"""Decoded images of one subject as studies, views, slices and phases."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxssl.data.study.join import joined
from jaxssl.data.study.loaded import Loaded
from jaxssl.data.study.sound import contradictions
from jaxssl.data.study.stacks import Stack, in_order, stacks_of
from jaxssl.data.study.views import views_of


@dataclass(frozen=True, eq=False)
class Placed:
    """An image and its place in the subject's studies, counted as in `jaxssl.data.record.Record`.

    `loaded.image.plane` is none where the series is not placed, where nobody knows how large a pixel is, or where
    `remark` says what is wrong with it.
    """

    loaded: Loaded
    study: str
    view: str
    slice: int
    slices: int
    phase: int
    phases: int
    moment: str
    ordered: bool
    remark: str = ""


def acquisitions(loaded: Sequence[Loaded]) -> list[Placed]:
    """All images of one subject, in their places; by study and view, then by slice and phase.

    The same whatever the order of the images. Phases are counted in each slice, whose numbers may differ. A view that a
    study has several times (other sequences, slices taken again) is there once: the cine of most slices, else the stack
    of most slices. The others are in studies "NAME repeat 2", "NAME repeat 3" and so on, so that nothing is lost and no
    two images have the same place.
    """
    wrong = contradictions(loaded)
    studies = defaultdict(list)
    for each in loaded:
        studies[each.series.study].append(each)
    placed = []
    for study in sorted(studies):
        stacks = joined(stacks_of(studies[study], wrong))
        times = Counter()
        for stack, view in zip(stacks, views_of(stacks), strict=True):
            times[view] += 1
            name = study if times[view] == 1 else f"{study} repeat {times[view]}".strip()
            placed += _images(stack, name, view, wrong)
    return sorted(placed, key=lambda p: (p.study, p.view, p.slice, p.phase))


def _images(stack: Stack, study: str, view: str, wrong: Mapping[Loaded, str]) -> Iterator[Placed]:
    slices, ordered = in_order(stack)
    for place, images in enumerate(slices):
        for phase, each in enumerate(images):
            # By its place in the files, never in time: what is missing there must not shift ES to ED.
            number = each.file if len(each.series.files) > 1 else each.image.frame
            yield Placed(
                each if stack.placed and each.sized else replace(each, image=each.image._replace(plane=None)),
                study,
                view,
                place,
                len(slices),
                phase,
                len(images),
                each.series.moments.get(number, ""),
                ordered,
                wrong.get(each, ""),
            )
