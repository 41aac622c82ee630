"""Parts joined to a store, in the order of their subjects' pseudonyms."""

import fnmatch
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxssl.data.datasets.base import Set
from jaxssl.data.encoding import Codec
from jaxssl.data.ingest.parts import Part, lines_of
from jaxssl.data.shards import put_text, write_shards
from jaxssl.data.store import UNFINISHED, Source, finish
from jaxssl.data.summary import StoreInfo, Tally

INTENSITIES, TIMES = "intensities.jsonl", "times.txt"
WRITTEN = ("*.array_record-*", "features.json", "dataset_info.json", "LICENSE", INTENSITIES, TIMES)
MADE_HERE = (UNFINISHED, *WRITTEN, ".*-[0-9]*")
"""All that an unfinished store may hold; the last are files that were being written."""


def is_made_here(name: str) -> bool:
    """Whether something of this name in an unfinished store is of our making."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in MADE_HERE)


def merge(
    kind: Set,
    store: Path,
    parts: Sequence[Part],
    key_id: str,
    source: Source,
    note: str,
    progress: Callable[[int], None],
) -> StoreInfo:
    """Make the store of parts that have records, and drop them; `progress` hears how many records are in it.

    By `note` the files are known again without being read.
    """
    for left in store.iterdir():
        if left.name != UNFINISHED and is_made_here(left.name):
            left.unlink()
    parts = sorted(parts, key=lambda part: part.subject)
    tally, *others = (Tally.from_json(part.tally) for part in parts if part.tally)
    for other in others:
        tally.merge(other)
    counted = tally.info(kind.name, kind.description, kind.licence, kind.citation, synthetic=False)
    info = replace(counted, key_id=key_id)
    codec = Codec(tally.dtype, tally.channels)
    written = write_shards(_told(_lines(store, parts, codec, tally.dtype), progress), kind.name, store)
    put_text(store / INTENSITIES, "".join(json.dumps(part.intensity) + "\n" for part in parts))
    put_text(store / TIMES, note)
    finish(store, codec, info, written, source)
    shutil.rmtree(store / UNFINISHED)
    return info


def _lines(store: Path, parts: Sequence[Part], codec: Codec, dtype: np.dtype) -> Iterator[bytes]:
    """The lines of all parts, encoded again where a part has fewer bits than the store."""
    for part in parts:
        own = Tally.from_json(part.tally or {})
        if own.dtype == dtype:
            yield from lines_of(store, part)
            continue
        narrow = Codec(own.dtype, own.channels)
        for line in lines_of(store, part):
            record = narrow.record(line)
            yield codec.line(replace(record, image=record.image.astype(dtype)))


def _told(lines: Iterator[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        progress(number)
        yield line
