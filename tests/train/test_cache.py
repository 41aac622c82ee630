"""Programs are kept where one says, and only for as long."""

import jax
import jax.numpy as jnp

from jaxssl.train.cache import cached_in


def test_programs_are_kept_and_everything_is_as_it_was_afterwards(tmp_path):
    before = jax.config.values["jax_compilation_cache_dir"]
    with cached_in(tmp_path):
        assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path)
        jax.jit(lambda x: jnp.tanh(x) * 3.5)(jnp.ones(7))
    assert jax.config.values["jax_compilation_cache_dir"] == before
    assert list(tmp_path.iterdir())
