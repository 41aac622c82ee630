"""A recipe's data: which store, on which grid, which subjects for what, and which images of them."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from jaxssl.data import plan as plans
from jaxssl.data.cache import Cache, Progress, open_cache
from jaxssl.data.grid import Layout
from jaxssl.data.labels import Labels, labels_of, parse
from jaxssl.data.plan import Plan, Rows, Samples, select
from jaxssl.data.seen import NOBODY, Seen
from jaxssl.data.splitfile import split_of
from jaxssl.data.splits import Split, label_subset, split
from jaxssl.data.store import Store, open_store
from jaxssl.errors import UserError

Part = Literal["test", "validation"]
"""Subjects that are not trained on: by the latter choices are made, the former are asked once."""


@dataclass(frozen=True)
class Data:
    """What is trained on and what is kept for evaluation."""

    store: str = "stores/phantom"
    """Folder of the store."""
    layout: Layout = field(default_factory=Layout)
    views: tuple[str, ...] = ("sax",)
    """Views that are used, by the names they have in the store: sax, 2ch, 3ch and 4ch in the cine phantom."""
    moments: tuple[str, ...] = ()
    """ED, ES, or both; none takes every frame."""
    masks: bool = False
    """Use labelled images only, and deliver their masks."""
    label: str | None = None
    """A label of the store that methods may use: plane, organ or brain_plane in the ultrasound phantom; none delivers
    none."""
    label_groups: tuple[str, ...] = ()
    """Its values joined to coarser ones, each group as NAME=value,value; values in no group stay as they are."""
    guests: tuple[str, ...] = ()
    """Views whose planes cut the images in lines, which a method may look for: 2ch and 4ch for short-axis slices."""
    partners: tuple[Literal["phase", "subject"], ...] = ()
    """Images that come with each sample: of its slice at another phase of the beat, or of another subject."""
    resident: bool = False
    """Keep the training images on the devices, if they fit, instead of sending them from the host at every step."""
    plan: Literal["slices", "by_subject", "one_per_subject", "ed_es"] = "slices"
    """What an epoch is: every image once, the same with a subject's images one after the other, one random image of
    each subject, or every slice that has ED and ES once, the ED image with the other as its partner."""
    fractions: tuple[float, float, float] = (0.6, 0.1, 0.3)
    """Shares of the subjects for training, validation and test."""
    split_seed: int = 0
    """Decides who is in which part; the same for pretraining and evaluation, or test subjects leak."""
    split: str | None = None
    """A file of `jaxssl data split` that says who is in which part, in place of data.fractions and data.split_seed."""
    subjects: int | None = None
    """Train on this many of the training subjects; none takes all."""
    subset_seed: int = 0
    """Decides which; for one seed the smaller sets lie within the larger."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """All that comes with each sample: the partner that the plan gives it, and those that are asked for."""
        return ("es", *self.partners) if self.plan == "ed_es" else self.partners

    def check(self) -> None:
        if not self.store:
            raise UserError("data.store is empty; name a store, or make one with: jaxssl data phantom --out DIR.")
        if min(self.split_seed, self.subset_seed) < 0:
            raise UserError("data.split_seed and data.subset_seed must be at least 0.")
        if self.label_groups and self.label is None:
            raise UserError("data.label_groups joins values of data.label, which is none; name a label.")
        for group in self.label_groups:
            parse(group)
        for name in ("guests", "partners"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise UserError(f"data.{name} {getattr(self, name)} names one of them twice.")
        if self.split is not None and (self.fractions, self.split_seed) != (Data.fractions, Data.split_seed):
            raise UserError(
                "data.split says who is in which part: leave data.fractions and data.split_seed as they are."
            )
        if self.subjects is not None and self.subjects < 1:
            raise UserError(f"data.subjects must be at least 1 or none, not {self.subjects}.")


@dataclass(frozen=True, eq=False)
class Source:
    """An opened store with its cache and its split."""

    options: Data
    store: Store
    cache: Cache
    split: Split

    @property
    def training_subjects(self) -> tuple[str, ...]:
        """Those whose images are trained on."""
        if self.options.subjects is None:
            return self.split.train
        return label_subset(self.split.train, self.options.subjects, self.options.subset_seed)

    @property
    def masks_learnt_from(self) -> Seen:
        """Subjects whose true masks are behind the masks that are used, where a network has made those."""
        return Seen.from_json(self.store.info.masks_learnt_from) if self.options.masks else NOBODY

    def seen(self, subjects: Collection[str]) -> Seen:
        """These subjects, with all their images in the store: also those that the options leave out."""
        names, table = self.cache.names["subject"], self.cache.table
        images: dict[str, set[str]] = {name: set() for name in subjects}
        for code, number in zip(table["subject"].tolist(), table["pixels"].tolist(), strict=True):
            if number and names[code] in images:
                images[names[code]].add(f"{number:016x}")
        return Seen({self.store.info.key_id: {name: frozenset(own) for name, own in images.items()}})

    @property
    def facts(self) -> dict[str, Any]:
        """By which a run knows its data again."""
        info = self.store.info
        known = {"name": info.name, "synthetic": info.synthetic, "fingerprint": self.store.fingerprint}
        return known | ({"split": self.split_fingerprint} if self.options.split else {})

    @property
    def split_fingerprint(self) -> str:
        """Names who is in which part, and at which moments: a split file may be edited between two calls of a run."""
        said = json.dumps([asdict(self.split), self.options.moments, self.options.subset_seed])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def rows(self, subjects: Collection[str]) -> Rows:
        """These subjects' images, of the chosen views and moments."""
        options = self.options
        return select(self.cache, subjects, options.views, options.moments or None, masked=options.masks)

    def training_plan(self) -> Plan:
        """What an epoch of training goes through."""
        rows = self.rows(self.training_subjects)
        plan = {
            "slices": lambda: plans.slices(rows),
            "by_subject": lambda: plans.by_subject(self.cache, rows),
            "one_per_subject": lambda: plans.one_per_subject(self.cache, rows),
            "ed_es": lambda: plans.ed_es(self.cache, rows),
        }[self.options.plan]()
        if "phase" in self.options.partners:
            plan = plans.other_phase(self.cache, plan, rows)
        if "subject" in self.options.partners:
            plan = plans.other_subject(self.cache, plan, rows)
        return plan

    def samples(self, subjects: Collection[str]) -> Samples:
        """All samples of these subjects in the order of the cache, with the partners that the plan gives them."""
        rows = self.rows(subjects)
        return plans.ed_es_pairs(self.cache, rows) if self.options.plan == "ed_es" else Samples(rows)

    @property
    def positions_known(self) -> bool:
        """Whether any image that is trained on has a place between base and apex."""
        return bool(np.isfinite(self.cache.table["position"][self.rows(self.training_subjects)]).any())

    @cached_property
    def labels(self) -> Labels:
        """The label that a recipe asks for, of every image; unknown where it asks for none."""
        options = self.options
        if options.label is None:
            return Labels((), np.full(len(self.cache), -1))
        return labels_of(self.cache, options.label, options.label_groups)


def open_source(options: Data, progress: Progress | None = None) -> Source:
    """Open the store, make its cache if need be, and split its subjects."""
    store = open_store(options.store)
    cache = open_cache(store, options.layout, progress)
    everyone = cache.names["subject"]
    if options.split is None:
        return Source(options, store, cache, split(everyone, options.fractions, options.split_seed))
    file = split_of(options.split, store, everyone)
    if file.moments:
        if options.moments and set(options.moments) != set(file.moments):
            raise UserError(
                f"data.moments {options.moments} are not those of {options.split}, {file.moments}: "
                "leave data.moments none."
            )
        options = replace(options, moments=file.moments)
    if file.subset_seed is not None:
        options = replace(options, subset_seed=file.subset_seed)
    return Source(options, store, cache, file.parts)
