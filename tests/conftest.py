"""Settings that every test shares: CPU only, and compiled programs kept between runs."""

import gc
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the tests' time is compiling: machine code that is not polished is made three times faster.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
# Simulated devices wait for each other in one pool of threads, which must have some to spare, or they wait for ever.
os.environ.setdefault("NPROC", "16")

import jax

from jaxssl.memory import SELDOM

CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "jax"

# As commands have it.
gc.set_threshold(*SELDOM)

jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_collection_modifyitems(items):
    """The tests on several devices are long items: begun first, they go on beside all the others."""
    items.sort(key=lambda item: item.path.name != "test_multidevice.py")
