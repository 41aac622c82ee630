"""What a careful user of PyTorch writes: a DataLoader that takes single images from a memory map and stacks them.

python loader.py '{"images": "images.npy", "rows": "rows.npy", "batch": 64, "workers": 2, "batches": 8}'
"""

import itertools
from typing import Any

import numpy as np
from common import side
from torch.utils.data import DataLoader, Dataset

from jaxssl.bench.serve import Side, serve


class Images(Dataset):
    """Some rows of a memory map."""

    def __init__(self, images: str, rows: str):
        self.images, self.rows = np.load(images, mmap_mode="r"), np.load(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(self.images[self.rows[index]])


def make(options: dict[str, Any]) -> Side:
    """So many batches at a time; an epoch follows the other, as in training."""
    workers = options["workers"]
    loader = DataLoader(
        Images(options["images"], options["rows"]),
        options["batch"],
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )
    endless = itertools.chain.from_iterable(itertools.repeat(loader))

    def run(count: int) -> None:
        for _ in range(options["batches"] * count):
            next(endless)

    return side(run, on_host=True, workers=True)


if __name__ == "__main__":
    serve(make)
