"""Arrays of one fixed shape, made once from a store and mapped into memory: what training reads.

Truth in the original grid stays in the store; `Cache.to_original` takes predictions back to it.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from jaxssl.data import grid
from jaxssl.data.columns import Columns
from jaxssl.data.grid import Layout
from jaxssl.data.store import Store
from jaxssl.errors import UserError

Progress = Callable[[int, int], None]
"""Called with records done and records in all."""

FORMAT = 3
SUMMARY = "cache.json"


@dataclass(frozen=True, eq=False)
class Cache:
    """A store on one layout. Row i is record i of the store.

    `table` has a column for each of: subject, study, view, moment (codes; `names` has their meaning), slice, slices,
    position, phase (in [0, 1)), mean, std (of the subject's own images, padding left out), thickness, has_mask,
    pixels (a hash of the image, 0 if all of one value), source_shape, source_spacing, the fields of the image's plane
    on the cached grid (origin, x_axis, y_axis, spacing, shape), and `label/NAME` for each label, -1 where unknown.
    """

    path: Path
    fingerprint: str
    layout: Layout
    names: Mapping[str, list[str]]
    images: Shaped[np.ndarray, "n h w c"]
    masks: UInt8[np.ndarray, "n h w"] | None
    table: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def store(self) -> Path:
        """The folder of the store that these arrays are of."""
        return self.path.parents[1]

    def to_original(self, row: int, prediction: Shaped[np.ndarray, "h w *classes"]) -> np.ndarray:
        """Take a prediction on the cached grid back to the record's own.

        A label map [h, w] of integers goes by nearest neighbour, 0 outside the cached grid. Class probabilities
        [h, w, classes] are interpolated, all zero outside, so that their argmax is background there too.
        """
        shape, spacing = self.table["source_shape"][row], self.table["source_spacing"][row]
        back = grid.on(self.layout, shape, spacing).back()
        return back.labels(prediction) if prediction.ndim == 2 else back.image(prediction, "linear")


def open_cache(store: Store, layout: Layout, progress: Progress | None = None) -> Cache:
    """The cache of `store` on `layout`, built inside the store's folder if it is not there or not of these contents."""
    layout.check()
    key = hashlib.sha256(json.dumps([FORMAT, asdict(layout)]).encode()).hexdigest()[:12]
    path = store.path / ".cache" / key
    if not _is_whole(path, store.fingerprint):
        _build(store, layout, path, progress or (lambda done, total: None))
    names = json.loads((path / SUMMARY).read_text())["names"]
    masks = path / "masks.npy"
    return Cache(
        path=path,
        fingerprint=store.fingerprint,
        layout=layout,
        names=names,
        images=_map(path / "images.npy"),
        masks=_map(masks) if masks.exists() else None,
        table=_load(path / "table.npz"),
    )


def _map(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # a bare view is gathered from faster


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _is_whole(path: Path, fingerprint: str) -> bool:
    try:
        content = json.loads((path / SUMMARY).read_text())
        sizes = {name: (path / name).stat().st_size for name in content["files"]}
        return content["fingerprint"] == fingerprint and content["files"] == sizes
    except (OSError, ValueError, KeyError):
        return False


def _build(store: Store, layout: Layout, path: Path, progress: Progress) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=path.parent))
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.strerror}): a cache is made inside its store, so copy the "
            "store to where you may write."
        ) from error
    try:
        unfinished.chmod(0o755)
        _fill(store, layout, unfinished, progress)
        _put(unfinished, path, store.fingerprint)
    except OSError as error:
        raise UserError(f"The cache {path} cannot be written ({error.strerror}): free some space.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _fill(store: Store, layout: Layout, folder: Path, progress: Progress) -> None:
    total, dtype = len(store), np.dtype(store.info.dtype)
    images = _new(folder / "images.npy", dtype, (total, *layout.size, store.info.channels))
    masks = _new(folder / "masks.npy", np.dtype(np.uint8), (total, *layout.size)) if store.info.masked else None
    columns = Columns()
    for row, record in enumerate(store.records()):
        own = grid.on(layout, record.image.shape[:2], np.asarray(record.plane.spacing))
        images[row] = grid.round_to(own.image(record.image, "cubic"), dtype)
        if masks is not None and record.mask is not None:
            masks[row] = own.labels(record.mask)
        columns.add(record, own.plane(record.plane))
        progress(row + 1, total)
    for array in (images, masks):
        if array is not None:
            array.flush()
    table, names = columns.close()
    np.savez(folder / "table.npz", allow_pickle=False, **table)
    content = {
        "fingerprint": store.fingerprint,
        "layout": asdict(layout),
        "names": names,
        "files": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    }
    (folder / SUMMARY).write_text(json.dumps(content, indent=1))


def _new(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _put(unfinished: Path, path: Path, fingerprint: str) -> None:
    """Rename into place, over a cache of other contents; another process that came first is as good."""
    if path.exists() and not _is_whole(path, fingerprint):
        shutil.rmtree(path, ignore_errors=True)
    try:
        os.replace(unfinished, path)
    except OSError:
        if not _is_whole(path, fingerprint):
            raise
