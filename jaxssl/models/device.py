"""What a network is traced for, on which the fastest form of a layer depends."""

import jax


def traced_for() -> tuple[str, str]:
    """Platform and compute capability of what is computed on by default, which is known while tracing."""
    default = jax.config.jax_default_device  # type: ignore[attr-defined]  # jax adds its options as it starts
    device = default if isinstance(default, jax.Device) else jax.local_devices(backend=default)[0]
    return device.platform, getattr(device, "compute_capability", "")
