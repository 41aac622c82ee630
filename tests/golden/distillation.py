"""Teachers, prototypes and KoLeo on the inputs of the golden values."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from golden.rows import Loss, made

from jaxssl.methods.base import Progress
from jaxssl.methods.dino import Options, teacher_temperature
from jaxssl.objectives import (
    centre_softmax,
    centred_targets,
    dino_loss,
    koleo_loss,
    masked_patch_loss,
    next_centre,
    prototype_loss,
    prototype_patch_loss,
    sinkhorn,
    sinkhorn_targets,
)

# Three images: four views of the student, two of the teacher, six outputs.
STUDENT, TEACHER = made(12, 6, 0.2).reshape(4, 3, 6), made(6, 6, 0.7).reshape(2, 3, 6)


# Each logit is a feature of its own where the prototypes are the axes.
AXES = jnp.eye(6)


def dino_step(student, teacher, centre, epoch):
    """The loss with a teacher of this centre, and the same over prototypes in blocks."""
    centre = jnp.asarray(centre, jnp.float32)
    warmed = Options(teacher_temperature=(0.04, 0.07), teacher_warmup=2)
    temperature = teacher_temperature(warmed, Progress(jnp.array(0), 1, jnp.array(epoch)))
    targets = centred_targets(teacher, AXES, centre, temperature, block_size=4)
    return (
        Loss(lambda x: dino_loss(x, centre_softmax(teacher, centre, temperature)), (student,)),
        Loss(lambda x, w: prototype_loss(x, w, targets, temperature=0.1, block_size=4), (student, AXES)),
    )


def centre_after(*outputs):
    """The centre after these outputs of the teacher, [views, batch, outputs], begun at 0 and kept to .9 each time."""
    centre = jnp.zeros(outputs[0].shape[-1])
    for logits in outputs:
        centre = jax.jit(next_centre)(centre, logits, jnp.eye(len(centre)), 0.9)
    return centre


def every_pair(targets):
    """The mean over all pairs, a view with itself included: that of the two views in order, and swapped."""
    return Loss(lambda x: (dino_loss(x, targets) + dino_loss(x, targets[::-1])) / 2, (STUDENT[:2],))


CENTRED = every_pair(centre_softmax(TEACHER, jnp.zeros(6), 0.07))
BALANCED = every_pair(sinkhorn(TEACHER, 0.07))


def balanced_rows(temperature):
    return jax.jit(sinkhorn)(TEACHER, temperature).reshape(6, 6)


def balanced_in_blocks(temperature):
    """The same probabilities from the factors that are found block by block."""
    targets = jax.jit(partial(sinkhorn_targets, block_size=4))(TEACHER, AXES, temperature)
    scores = targets.features @ targets.prototypes.T
    return jnp.exp(scores + targets.of_prototypes + targets.of_rows[..., None]).reshape(6, 6)


HIDDEN = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]])
OF_TEACHER = made(4, 6, 0.9)


def at_hidden(rows, mask):
    """Rows of the hidden patches where these lie; they give them alone, one after the other."""
    return jnp.zeros((*mask.shape, rows.shape[-1])).at[np.nonzero(mask)].set(rows)


def of_hidden(student, teacher_probs, mask, temperature=0.1):
    where = at_hidden(teacher_probs, mask)
    return Loss(lambda x: masked_patch_loss(at_hidden(x, mask), where, mask, temperature=temperature), (student,))


IBOT_CENTRED = of_hidden(made(4, 6, 0.1), centre_softmax(OF_TEACHER, jnp.zeros(6), 0.07), HIDDEN)
IBOT_BALANCED = of_hidden(made(4, 6, 0.1), sinkhorn(OF_TEACHER, 0.07), HIDDEN)
IN_BLOCKS = centred_targets(OF_TEACHER.reshape(1, 2, 2, 6), AXES, jnp.zeros(6), 0.07, block_size=4)
# Of the three images two hide patches, and as many each; these alone are given where prototypes come in blocks.
IBOT_IN_BLOCKS = Loss(
    lambda x, w: 2 / 3 * prototype_patch_loss(x.reshape(1, 2, 2, 6), w, IN_BLOCKS, temperature=0.1, block_size=4),
    (made(4, 6, 0.1), AXES),
)
IBOT_OF_LIGHTLY = of_hidden(
    jnp.array([[0.7, 0.8], [0.9, 1.0], [1.1, 1.2]]),
    centre_softmax(jnp.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]), jnp.zeros(2), 0.1),
    np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]),
    temperature=0.2,
)

KOLEO = Loss(koleo_loss, (made(5, 8, 0.4),))
# With neighbours equally near, so that it has a value but no slope there.
SIX_ROWS = [[0, 1], [1, 0], [1, 1], [-1, 0], [0, -1], [-1, -1]]


def koleo(rows):
    return jax.jit(koleo_loss)(jnp.asarray(rows, jnp.float32))
