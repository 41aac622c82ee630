"""What a careful user of PyTorch writes: a DataLoader that takes single images from a memory map and stacks them.

    python -m jaxssl.bench.peer IMAGES.npy ROWS.npy BATCH WORKERS

A process of its own, since its workers are forked. It says "ready", and to every number of batches on its input answers
with the seconds that they took. Nothing else in jaxssl knows torch.
"""

import itertools
import sys
import time

import numpy as np


def main(images: str, rows: str, batch: int, workers: int) -> None:
    """Serve until the input ends; an epoch follows the other, as in training."""
    import torch  # pyright: ignore[reportMissingImports]

    class Images(torch.utils.data.Dataset):
        def __init__(self):
            self.images, self.rows = np.load(images, mmap_mode="r"), np.load(rows)

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            return np.array(self.images[self.rows[index]])

    loader = torch.utils.data.DataLoader(
        Images(), batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    endless = itertools.chain.from_iterable(itertools.repeat(loader))
    next(endless)  # workers start with the first batch
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            next(endless)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
