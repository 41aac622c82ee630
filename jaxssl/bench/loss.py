"""The contrastive loss and its gradient alone: jaxssl's side of a comparison, and what both are held against.

python -m jaxssl.bench.loss '{"embeddings": "rows.npy", "temperature": 0.1}'
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.bench.here import side
from jaxssl.bench.serve import Side, memory_of, serve
from jaxssl.objectives import contrastive_loss, same_instance

BLOCK = 2048


def make(options: Mapping[str, Any]) -> Side:
    """Loss and gradient of the embeddings in a file: the first views of all samples, then their second ones."""
    embeddings = jnp.asarray(np.load(options["embeddings"], allow_pickle=False))
    sample = jnp.arange(len(embeddings)) % (len(embeddings) // 2)

    def loss(rows: jax.Array) -> jax.Array:
        return contrastive_loss(rows, same_instance(sample), temperature=options["temperature"])[0]

    lowered = jax.jit(jax.value_and_grad(loss)).lower(embeddings)
    graded, compiling = memory_of(lowered.compile)

    def check(folder: Path) -> float:
        loss, gradient = graded(embeddings)
        np.save(folder / "jaxssl.npy", np.asarray(gradient))
        return float(loss)

    def run(count: int) -> None:
        for _ in range(count):
            found = graded(embeddings)
        jax.block_until_ready(found)

    return side(run, check, compiling)


def reference_gradient(embeddings: np.ndarray, temperature: float, rows: slice) -> np.ndarray:
    """What the gradient of some rows is in float64.

    With unit rows u_i, p_ij = softmax_j(u_i u_j / T) without j = i, and the pair o of i, the gradient by u_i is
    sum_j (p_ij + p_ji) u_j / NT - 2 u_o / NT; by the row itself, what of that is across u_i, divided by its length.
    """
    rows_in_double = embeddings.astype(np.float64)
    length = np.linalg.norm(rows_in_double, axis=1, keepdims=True)
    unit, number = rows_in_double / length, len(embeddings)
    log_sums = np.concatenate(
        [_log_sums(unit, temperature, np.arange(i, min(i + BLOCK, number))) for i in range(0, number, BLOCK)]
    )
    chosen = np.arange(number)[rows]
    logits = unit[chosen] @ unit.T / temperature
    shares = np.exp(logits - log_sums[chosen, None]) + np.exp(logits - log_sums)
    shares[np.arange(len(chosen)), chosen] = 0
    by_unit = (shares @ unit - 2 * unit[(chosen + number // 2) % number]) / (number * temperature)
    along = np.sum(by_unit * unit[chosen], axis=1, keepdims=True) * unit[chosen]
    return (by_unit - along) / length[chosen]


def _log_sums(unit: np.ndarray, temperature: float, rows: np.ndarray) -> np.ndarray:
    logits = unit[rows] @ unit.T / temperature
    logits[np.arange(len(rows)), rows] = -np.inf
    return np.log(np.exp(logits - 1 / temperature).sum(1)) + 1 / temperature


if __name__ == "__main__":
    serve(make)
