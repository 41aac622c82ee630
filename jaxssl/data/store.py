"""Records on disk: array_record, written and read through tensorflow-datasets without TensorFlow.

A store is a folder that `tfds.builder_from_directory(path).as_data_source("records")` reads. Records keep their order,
their original grid and their depth. Beside them, `store.json` holds a summary, the size of each file and a fingerprint
of the contents; it is written last, so that a folder without it is unfinished.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core import dataset_info, example_serializer, naming, splits

from jaxssl.data.record import Record
from jaxssl.data.summary import StoreInfo, Tally
from jaxssl.errors import UserError
from jaxssl.geometry import Plane

SPLIT = "records"
SUMMARY = "store.json"
FORMAT = 3
RECORDS_PER_SHARD = 4096
NAME = re.compile("[a-z][a-z0-9_]*")  # what tfds turns into file names
SHARD_NAME = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


@dataclass(frozen=True, eq=False)
class Store:
    """An opened store; `fingerprint` names its contents."""

    path: Path
    info: StoreInfo
    fingerprint: str

    def __len__(self) -> int:
        return self.info.records

    def record(self, index: int) -> Record:
        """Record number `index`, in the order in which they were written; array_record checks its hash."""
        try:
            return _decode(self._source[index])
        except RuntimeError as error:
            raise UserError(f"Record {index} of {self.path} is damaged: copy or write the store again.") from error

    def records(self) -> Iterator[Record]:
        """All records in order."""
        return (self.record(i) for i in range(len(self)))

    @functools.cached_property
    def _source(self) -> Any:
        builder: Any = tfds.builder_from_directory(self.path)
        return builder.as_data_source(SPLIT)


def write(
    records: Iterable[Record],
    path: str | Path,
    *,
    name: str,
    description: str,
    licence: str,
    citation: str = "",
    synthetic: bool = False,
    classes: Sequence[str] = (),
    masks_by: str = "",
    masks_learnt_from: Sequence[str] = (),
) -> Store:
    """Write `records` to a new store at `path`: whole or not at all, equal records to equal bytes.

    `classes` says what the mask codes 0, 1, ... mean; codes that nobody named go by their number. `masks_by` names a
    segmentation run that made the masks, `masks_learnt_from` the subjects that it was trained on.
    """
    path = Path(path)
    if not NAME.fullmatch(name):
        raise UserError(
            f"A store cannot be called {name!r}: use small letters, digits and underscores, as in 'my_cines'."
        )
    if path.exists():
        raise UserError(f"{path} exists already: give another path, or delete it first.")
    records = iter(records)
    first = next(records, None)
    if first is None:
        raise UserError(f"There are no records to write to {path}: check the folder that they come from.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path.") from error
    try:
        info = _dataset_info(unfinished, first, name, description, licence, citation)
        tally = Tally.like(first, classes)
        fingerprint = _write_records(itertools.chain([first], records), tally, info, unfinished)
        counted = tally.info(name, description, licence, citation, synthetic)
        summary = replace(counted, masks_by=masks_by, masks_learnt_from=list(masks_learnt_from))
        sizes = {file.name: file.stat().st_size for file in sorted(unfinished.iterdir())}
        content = {"format": FORMAT, "fingerprint": fingerprint, "files": sizes, "info": asdict(summary)}
        (unfinished / SUMMARY).write_text(json.dumps(content, indent=1))
        unfinished.chmod(0o755)
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    return Store(path, summary, fingerprint)


def open_store(path: str | Path) -> Store:
    """Open a store and check that it is whole; only `store.json` and the sizes of the files are read."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: give the path of a store, or make one with `jaxssl data phantom`.")
    try:
        content = json.loads((path / SUMMARY).read_text())
        if content["format"] != FORMAT:
            raise UserError(f"{path} has store format {content['format']}, this jaxssl reads {FORMAT}: write it again.")
        info = StoreInfo(**content["info"])
        sizes, fingerprint = content["files"], content["fingerprint"]
    except FileNotFoundError:
        raise UserError(
            f"{path} is not a store, or an unfinished one ({SUMMARY} is missing): name a store's own folder, or write "
            "it again."
        ) from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UserError(f"{path / SUMMARY} cannot be read ({error}): write the store again.") from error
    for name, size in sizes.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise UserError(f"{file} is missing or truncated ({size} bytes expected): copy or write the store again.")
    return Store(path, info, fingerprint)


def _dataset_info(folder: Path, first: Record, name: str, description: str, licence: str, citation: str) -> Any:
    """Everything but image and mask is small; bytes keep float64 exact, where tf.Example floats are float32."""

    def exact(*shape: int) -> Any:
        return tfds.features.Tensor(shape=shape, dtype=np.float64, encoding="bytes")

    text, integer = tfds.features.Text, functools.partial(tfds.features.Scalar, np.int32)
    channels = first.image.shape[2]
    features = {
        "image": tfds.features.Tensor(shape=(None, None, channels), dtype=first.image.dtype, encoding="bytes"),
        "mask": tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding="bytes"),
        "has_mask": tfds.features.Scalar(np.bool_),
        "ordered": tfds.features.Scalar(np.bool_),
        **{key: text() for key in ("subject", "study", "view", "moment")},
        **{key: integer() for key in ("slice", "slices", "phase", "phases")},
        "plane": {"origin": exact(3), "x_axis": exact(3), "y_axis": exact(3), "spacing": exact(2)},
        "thickness": exact(),
        "labels": text(doc="JSON object of label name to class"),
    }
    return tfds.core.DatasetInfo(
        builder=dataset_info.DatasetIdentity(
            name=name, version=tfds.core.Version("1.0.0"), data_dir=str(folder), module_name="jaxssl"
        ),
        features=tfds.features.FeaturesDict(features),
        description=description,
        license=licence,
        citation=citation,
        disable_shuffling=True,
    )


def _write_records(records: Iterable[Record], tally: Tally, info: Any, folder: Path) -> str:
    """Write the shards, then the description that tfds reads; return the fingerprint of the contents."""
    info.set_file_format("array_record")
    serializer = example_serializer.ExampleSerializer(info.features.get_serialized_info())
    template = naming.ShardedFileTemplate(
        data_dir=tfds.core.Path(folder),
        dataset_name=info.name,
        split=SPLIT,
        filetype_suffix="array_record",
        template=SHARD_NAME,
    )
    digest, lengths, size, records = hashlib.sha256(), [], 0, iter(records)
    while (first := next(records, None)) is not None:
        shard = str(template.sharded_filepath(shard_index=len(lengths), num_shards=None))
        lengths.append(0)
        with contextlib.closing(ArrayRecordWriter(shard, "group_size:1")) as writer:
            for record in itertools.chain([first], itertools.islice(records, RECORDS_PER_SHARD - 1)):
                tally.add(record)
                example = serializer.get_tf_example(info.features.encode_example(_encode(record)))
                line = example.SerializeToString(deterministic=True)
                writer.write(line)
                digest.update(hashlib.sha256(line).digest())
                lengths[-1] += 1
                size += len(line)
    split = tfds.core.SplitInfo(name=SPLIT, shard_lengths=lengths, num_bytes=size, filename_template=template)
    info.set_splits(splits.SplitDict([split]))
    info.write_to_directory(folder)
    return digest.hexdigest()[:16]


def _encode(record: Record) -> dict[str, Any]:
    """`record` as tfds takes it; an absent mask becomes zeros beside `has_mask`, which compress to nothing."""
    plane = {
        key: np.asarray(getattr(record.plane, key), np.float64) for key in ("origin", "x_axis", "y_axis", "spacing")
    }
    same = ("subject", "study", "view", "moment", "slice", "slices", "phase", "phases")
    return {
        **{key: getattr(record, key) for key in same},
        "image": record.image,
        "mask": np.zeros(record.image.shape[:2], np.uint8) if record.mask is None else record.mask,
        "has_mask": record.mask is not None,
        "ordered": record.ordered,
        "plane": plane,
        "thickness": np.asarray(record.thickness, np.float64),
        "labels": json.dumps(dict(record.labels), sort_keys=True),
    }


def _decode(example: Mapping[str, Any]) -> Record:
    image, fields = example["image"], {}
    fields |= {key: example[key].decode() for key in ("subject", "study", "view", "moment")}
    fields |= {key: int(example[key]) for key in ("slice", "slices", "phase", "phases")}
    return Record(
        **fields,
        image=image,
        plane=Plane(**example["plane"], shape=np.asarray(image.shape[:2])),
        thickness=float(example["thickness"]),
        mask=example["mask"] if example["has_mask"] else None,
        labels=json.loads(example["labels"]),
        ordered=bool(example["ordered"]),
    )
