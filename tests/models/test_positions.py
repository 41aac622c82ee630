"""Fixed positions against the published ones and against their formula on a grid that is not square."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.models.positions import sine_cosine

ROW_5 = [0.8414709848078965, 0.009999833334166664, 0.5403023058681398, 0.9999500004166653] * 2
SUM = 35.42803432839191
"""`pos_embed.py` of the published MAE, 8 channels, 3 x 3 patches: all of it, and the fifth row after the class token's,
which is zero."""


def test_positions_are_those_of_the_published_mae():
    positions = sine_cosine(3, 3, 8, jnp.float32)
    np.testing.assert_allclose(positions.sum(), SUM, rtol=1e-6)
    np.testing.assert_allclose(positions.reshape(9, 8)[4], ROW_5, rtol=1e-6)


def test_columns_come_before_rows():
    positions = np.asarray(sine_cosine(2, 5, 12, jnp.float32))
    frequencies = [1.0, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3)]
    for y in range(2):
        for x in range(5):
            expected = [wave(f * place) for place in (x, y) for wave in (np.sin, np.cos) for f in frequencies]
            np.testing.assert_allclose(positions[y, x], expected, atol=1e-6)


def test_channels_come_in_fours():
    with pytest.raises(ValueError, match="in fours, not 6"):
        sine_cosine(2, 2, 6, jnp.float32)
