"""What a store holds, in numbers small enough to read: gathered while writing, kept beside the records."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxssl.data.record import Record
from jaxssl.errors import UserError


@dataclass(frozen=True)
class StoreInfo:
    """Counts over a store: `labels` count subjects, the other mappings records."""

    name: str
    description: str
    licence: str
    citation: str
    synthetic: bool
    dtype: str
    channels: int
    classes: Sequence[str]
    """What the mask codes 0, 1, ... mean; empty without masks."""
    records: int
    subjects: int
    studies: int
    masked: int
    views: Mapping[str, int]
    moments: Mapping[str, int]
    phases: Mapping[str, int]
    sizes: Mapping[str, int]
    spacings: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    placed: Mapping[str, int] | None = None
    """Records of each view whose place in the patient is known; stores of earlier versions do not say."""
    masks_by: str = ""
    """The segmentation run that made the masks; empty where people made them, or a phantom."""
    masks_learnt_from: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """Subjects that it has learnt from, as `jaxssl.data.seen` writes them."""
    key_id: str = ""
    """Names the key of the site that turned names into those of subjects and studies; empty where none did."""
    made_from: Sequence[str] = ()
    """Fingerprints of the stores that it is a copy of, with other masks or more labels: what splits them splits it."""


@dataclass
class Tally:
    """Counts records as they pass and refuses those that would make the store ambiguous."""

    dtype: np.dtype
    channels: int
    classes: Sequence[str]
    highest: int = -1
    """Highest mask code so far."""
    records: int = 0
    masked: int = 0
    counts: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    subject_of: dict[str, str] = field(default_factory=dict)
    seen: set = field(default_factory=set)
    labelled: dict[str, dict[str, set]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    @classmethod
    def like(cls, record: Record, classes: Sequence[str]) -> "Tally":
        """Begin a tally for images of the depth and channels of `record`, and masks of these classes."""
        return cls(record.image.dtype, record.image.shape[2], classes)

    def add(self, record: Record) -> None:
        """Count one record."""
        self._check(record)
        height, width, _ = record.image.shape
        dy, dx = np.asarray(record.plane.spacing, np.float64)
        for column, value in {
            "views": record.view,
            "moments": record.moment or "none",
            "phases": str(record.phases),
            "sizes": f"{height}x{width}",
            "spacings": f"{dy:.3f}x{dx:.3f}" if np.isfinite(dy * dx) else "unknown",
        }.items():
            self.counts[column][value] += 1
        if np.isfinite(record.plane.origin).all():
            self.counts["placed"][record.view] += 1
        self.records += 1
        if record.mask is not None:
            self.masked += 1
            self.highest = max(self.highest, int(record.mask.max()))
        for name, value in record.labels.items():
            self.labelled[name][value].add(record.subject)

    def merge(self, other: "Tally") -> None:
        """Count the records of `other`, which are of other studies; the depth becomes one that holds both."""
        for study, subject in other.subject_of.items():
            self._give(study, subject)
        self.dtype = np.promote_types(self.dtype, other.dtype)
        self.highest = max(self.highest, other.highest)
        self.records += other.records
        self.masked += other.masked
        for column, counter in other.counts.items():
            self.counts[column].update(counter)
        for name, values in other.labelled.items():
            for value, subjects in values.items():
                self.labelled[name][value] |= subjects

    def to_json(self) -> dict[str, Any]:
        """All that `merge` needs of a tally."""
        return {
            "dtype": self.dtype.name,
            "channels": self.channels,
            "classes": list(self.classes),
            **{name: getattr(self, name) for name in ("highest", "records", "masked", "subject_of")},
            "counts": {column: dict(counter) for column, counter in self.counts.items()},
            "labelled": {name: {k: sorted(v) for k, v in values.items()} for name, values in self.labelled.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Tally":
        """A tally as `to_json` wrote it."""
        counts = {column: Counter(values) for column, values in content["counts"].items()}
        labelled = {
            name: defaultdict(set, {k: set(v) for k, v in values.items()})
            for name, values in content["labelled"].items()
        }
        return cls(
            **{
                **content,
                "dtype": np.dtype(content["dtype"]),
                "counts": defaultdict(Counter, counts),
                "labelled": defaultdict(lambda: defaultdict(set), labelled),
            }
        )

    def _check(self, record: Record) -> None:
        if (record.image.dtype, record.image.shape[2]) != (self.dtype, self.channels):
            raise UserError(
                f"Study {record.study!r} has {record.image.shape[2]} channel(s) of {record.image.dtype} where the "
                f"store began with {self.channels} of {self.dtype}: write them to two stores or convert one."
            )
        if self.classes and record.mask is not None and record.mask.max() >= len(self.classes):
            raise UserError(
                f"Study {record.study!r} has a mask with code {record.mask.max()}, but the classes "
                f"{', '.join(self.classes)} end at {len(self.classes) - 1}: name every class, or mend the mask."
            )
        self._give(record.study, record.subject)
        place = (record.study, record.view, record.slice, record.phase)
        if place in self.seen:
            raise UserError(
                f"Study {record.study!r} has view {record.view!r} slice {record.slice} phase {record.phase} twice: "
                "drop one of them or call them two studies."
            )
        self.seen.add(place)

    def _give(self, study: str, subject: str) -> None:
        if self.subject_of.setdefault(study, subject) != subject:
            raise UserError(
                f"Study {study!r} is given to subjects {self.subject_of[study]!r} and {subject!r}: give each study one "
                "subject, or splits by subject would leak."
            )

    def info(self, name: str, description: str, licence: str, citation: str, synthetic: bool) -> StoreInfo:
        """Close the tally."""

        def ordered(column: str) -> dict[str, int]:
            return dict(sorted(self.counts[column].items()))

        return StoreInfo(
            name=name,
            description=description,
            licence=licence,
            citation=citation,
            synthetic=synthetic,
            dtype=self.dtype.name,
            channels=self.channels,
            classes=list(self.classes) or ["background", *map(str, range(1, self.highest + 1))][: self.highest + 1],
            records=self.records,
            subjects=len(set(self.subject_of.values())),
            studies=len(self.subject_of),
            masked=self.masked,
            views=ordered("views"),
            placed=ordered("placed"),
            moments=ordered("moments"),
            phases=ordered("phases"),
            sizes=ordered("sizes"),
            spacings=ordered("spacings"),
            labels={k: {c: len(s) for c, s in sorted(v.items())} for k, v in sorted(self.labelled.items())},
        )
