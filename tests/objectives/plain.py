"""The contrastive loss as its equation reads, with the whole matrix: what the blocked one is compared with."""

import jax.numpy as jnp


def plain_contrastive_loss(anchors, positive, candidates=None, negative=None, temperature=0.1):
    """Loss from boolean matrices `positive` and `negative` [anchors, candidates]; returns loss and anchors without."""
    paired = candidates is None
    candidates = anchors if paired else candidates
    unit = anchors / jnp.linalg.norm(anchors, axis=1, keepdims=True)
    logits = unit @ (candidates / jnp.linalg.norm(candidates, axis=1, keepdims=True)).T / temperature
    inside = ~jnp.eye(len(anchors), dtype=bool) if paired else jnp.ones(logits.shape, bool)
    positive = positive & inside
    allowed = inside if negative is None else positive | (negative & inside)
    valid = positive.any(1)
    shifted = jnp.where(allowed, logits, -jnp.inf)
    peak = jnp.where(valid, shifted.max(1), 0)
    log_sum = peak + jnp.log(jnp.where(valid, jnp.exp(shifted - peak[:, None]).sum(1), 1))
    losses = log_sum - jnp.where(positive, logits, 0).sum(1) / jnp.maximum(positive.sum(1), 1)
    return jnp.where(valid, losses, 0).sum() / jnp.maximum(valid.sum(), 1), (~valid).sum()
