"""The loss of SimCLR and its gradient, as users of PyTorch have it.

    python loss.py '{"embeddings": "rows.npy", "temperature": 0.1, "as": "plain"}'

plain: all similarities at once, the own one left out, and cross-entropy. lightly: its NTXentLoss where it can be
imported, otherwise our own from what that computes: four products of views with views, from two of which the diagonal
is taken out, put together as logits.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DEVICE, side
from torch.nn import functional as F

from jaxssl.bench.serve import Side, serve


def plain(rows: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy over all other rows; the first views of all samples come before the second ones."""
    rows = F.normalize(rows, dim=1)
    logits = rows @ rows.T / temperature
    logits.fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(rows), device=rows.device).roll(len(rows) // 2))


def like_lightly(rows: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits [own view without oneself | other view], so that the pair of row i stands at i."""
    first, second = F.normalize(rows, dim=1).chunk(2)
    count = len(first)
    others = ~torch.eye(count, dtype=torch.bool, device=rows.device)

    def beside(view: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        own = (view @ view.T / temperature)[others].view(count, -1)
        return torch.cat([view @ other.T / temperature, own], dim=1)

    logits = torch.cat([beside(first, second), beside(second, first)])
    return F.cross_entropy(logits, torch.arange(count, device=rows.device).repeat(2))


def chosen(kind: str) -> tuple[Callable[[torch.Tensor, float], torch.Tensor], str]:
    """The loss, and what it is called."""
    if kind == "plain":
        return plain, "plain"
    try:
        from lightly.loss import NTXentLoss
    except ImportError:
        return like_lightly, "written after lightly"
    return lambda rows, temperature: NTXentLoss(temperature)(*rows.chunk(2)), "lightly"


def make(options: dict[str, Any]) -> Side:
    """Loss and gradient of the embeddings in a file."""
    of, written = chosen(options["as"])
    loss_of = partial(of, temperature=options["temperature"])
    rows = torch.from_numpy(np.load(options["embeddings"])).to(DEVICE).requires_grad_()

    def graded() -> torch.Tensor:
        rows.grad = None
        loss = loss_of(rows)
        loss.backward()
        return loss.detach()

    def check(folder: Path) -> float:
        loss = graded()
        np.save(folder / f"{options['as']}.npy", rows.grad.cpu().numpy())
        return float(loss)

    def run(count: int) -> None:
        for _ in range(count):
            graded()

    made = side(run, check)
    made.facts["written"] = written
    return made


if __name__ == "__main__":
    serve(make)
