"""Lines of bytes in files of array_record, on the disk and whole, or an `OSError`."""

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from errno import EIO
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from tensorflow_datasets.core import dataset_info, naming, splits

from jaxssl.data.encoding import Codec
from jaxssl.data.summary import StoreInfo

SPLIT = "records"
RECORDS_PER_SHARD = 4096
SHARD_NAME = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"
WITHOUT_AHEAD = "readahead_buffer_size:0,max_parallelism:0"
LINES_AT_ONCE = 16


@dataclass(frozen=True)
class Written:
    """What went into one or more files."""

    lengths: tuple[int, ...]
    size: int
    fingerprint: str


class Digest:
    """Names a sequence of lines."""

    def __init__(self):
        self._sum = hashlib.sha256()

    def add(self, line: bytes) -> None:
        """The next line."""
        self._sum.update(hashlib.sha256(line).digest())

    def __str__(self) -> str:
        return self._sum.hexdigest()[:16]


def write_shards(lines: Iterable[bytes], name: str, folder: Path) -> Written:
    """Write the shards of a store."""
    template, digest, lengths, size, lines = _template(name, folder), Digest(), [], 0, iter(lines)
    while (first := next(lines, None)) is not None:
        shard = template.sharded_filepath(shard_index=len(lengths), num_shards=None)
        more = itertools.islice(lines, RECORDS_PER_SHARD - 1)
        count, length = write_file(Path(shard), itertools.chain([first], more), digest)
        lengths.append(count)
        size += length
    return Written(tuple(lengths), size, str(digest))


def write_file(path: Path, lines: Iterable[bytes], digest: Digest) -> tuple[int, int]:
    """Write one file; returns how many lines it has and their bytes."""
    count = size = 0
    with contextlib.ExitStack() as stack:
        with _disk(path):
            writer = ArrayRecordWriter(str(path), "group_size:1")
        stack.callback(_close, writer, path)
        for line in lines:
            with _disk(path):
                writer.write(line)
            digest.add(line)
            count, size = count + 1, size + len(line)
    # array_record writes behind: whether everything arrived is seen in what can be read.
    with _disk(path), contextlib.closing(ArrayRecordReader(str(path), WITHOUT_AHEAD)) as reader:
        if reader.num_records() != count:
            raise OSError(EIO, f"{reader.num_records()} of {count} records arrived", str(path))
    sync(path)
    return count, size


def read_file(path: Path) -> Iterator[bytes]:
    """The lines of a file; `RuntimeError` where it is damaged."""
    with contextlib.closing(ArrayRecordReader(str(path), WITHOUT_AHEAD)) as reader:
        count = reader.num_records()
        for start in range(0, count, LINES_AT_ONCE):
            yield from reader.read(start, min(start + LINES_AT_ONCE, count))


def describe(folder: Path, codec: Codec, info: StoreInfo, written: Written) -> None:
    """Write the files by which tfds reads the shards of a folder."""
    described = tfds.core.DatasetInfo(
        builder=dataset_info.DatasetIdentity(
            name=info.name, version=tfds.core.Version("1.0.0"), data_dir=str(folder), module_name="jaxssl"
        ),
        features=codec.features,
        description=info.description,
        license=info.licence,
        citation=info.citation,
        disable_shuffling=True,
    )
    described.set_file_format("array_record")
    split = tfds.core.SplitInfo(
        name=SPLIT,
        shard_lengths=list(written.lengths),
        num_bytes=written.size,
        filename_template=_template(info.name, folder),
    )
    described.set_splits(splits.SplitDict([split]))
    described.write_to_directory(folder)


def put_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a small file whole, over one of its name or not at all; `mode` is for whom, as far as the umask lets it."""
    unfinished = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; that is where a lack of space may first show."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _template(name: str, folder: Path) -> naming.ShardedFileTemplate:
    return naming.ShardedFileTemplate(
        data_dir=tfds.core.Path(folder),
        dataset_name=name,
        split=SPLIT,
        filetype_suffix="array_record",
        template=SHARD_NAME,
    )


def _close(writer: ArrayRecordWriter, path: Path) -> None:
    with _disk(path):
        writer.close()


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """All that array_record says of a full disk is a `RuntimeError`."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(EIO, str(error).partition(";")[0], str(path)) from error
