"""The ONNX file of a run: a program from standardised images to embeddings or masks, compared with JAX when written."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jaxtyping import Array, Float

from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Tree, build
from jaxssl.models.onnx import to_onnx
from jaxssl.models.weights.paths import unrolled
from jaxssl.run.common import LoadedRun

TOLERANCE = 1e-4
LIMIT = 2**31
"""Bytes that an ONNX file can have."""

Program = Callable[[Tree, Float[Array, "batch channel y x"]], Float[Array, "batch ..."]]


class Written(NamedTuple):
    """What an ONNX file gives, and its largest difference from JAX; none where onnxruntime is absent to compare."""

    output: str
    shape: tuple[int, ...]
    """Of one image's."""
    difference: float | None


def write_onnx(
    path: Path, loaded: LoadedRun, facts: Mapping[str, Any], chosen: tuple[str, ...], metadata: Mapping[str, str]
) -> Written:
    """Write a program from `images` [batch, channel, y, x] to `embedding` or `probabilities`, and compare it with JAX.

    A file that differs by more than 1e-4 is refused.
    """
    program, output = _program(loaded, facts, chosen)
    own = unrolled({part: loaded.parts[part] for part in chosen})
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), own)
    if sum(leaf.nbytes for leaf in jax.tree.leaves(variables)) >= LIMIT:
        raise UserError("This network has 2 GB or more, which no ONNX file can hold; use --format safetensors.")
    size = (facts["channels"], *loaded.recipe.data.layout.size)
    model = to_onnx(program, variables, size, output)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)
    shape = tuple(side.dim_value for side in model.graph.output[0].type.tensor_type.shape.dim[1:])
    if importlib.util.find_spec("onnxruntime") is None:
        return Written(output, shape, None)
    difference = _difference(path, program, variables, size)
    if not difference <= TOLERANCE:
        raise UserError(
            f"The ONNX file gives other numbers than JAX (by up to {difference:.1e}), so it was not kept; "
            "this is a fault of jaxssl, use --format safetensors and report it."
        )
    return Written(output, shape, difference)


def _program(loaded: LoadedRun, facts: Mapping[str, Any], chosen: tuple[str, ...]) -> tuple[Program, str]:
    """The function to convert, in float32 whatever the run was trained in, and the name of what it gives.

    Blocks that the run loops over come one after the other: a graph has no loops.
    """
    recipe = loaded.recipe
    model = replace(recipe.model, scan=False) if hasattr(recipe.model, "scan") else recipe.model
    if chosen == ("encoder",):
        encoder = model.encoder(dtype=jnp.float32, rows=1)

        def embedding(variables: Tree, images: jax.Array) -> jax.Array:
            own = variables["encoder"]
            return parts.evaluate(encoder, own["params"], own["statistics"], jnp.moveaxis(images, 1, -1)).embedding

        return embedding, "embedding"
    spec = recipe.spec(facts["channels"], len(facts["classes"]), len(facts["labels"]))
    predict = build(recipe.method, model, replace(spec, dtype=jnp.float32)).predict
    assert predict is not None  # noqa: S101 - export has refused methods without

    def probabilities(variables: Tree, images: jax.Array) -> jax.Array:
        count = images.shape[0]
        batch = {"image": jnp.moveaxis(images, 1, -1), "mean": jnp.zeros(count), "std": jnp.ones(count)}
        return jnp.moveaxis(predict(variables, batch), -1, 1)

    return probabilities, "probabilities"


def _difference(path: Path, program: Program, variables: Tree, size: tuple[int, int, int]) -> float:
    """The largest difference between onnxruntime and JAX, for one image and for three; where numbers exceed 1, as a
    part of the largest. Not a number where either gives none."""
    import onnxruntime

    session, differences = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), []
    for count in (1, 3):
        images = np.random.default_rng(count).standard_normal((count, *size)).astype(np.float32)
        # Accelerators multiply float32 in fewer bits unless told otherwise.
        with jax.default_matmul_precision("highest"):
            expected = np.asarray(jax.jit(program)(variables, images))
        (outputs,) = session.run(None, {"images": images})
        differences.append(np.abs(outputs - expected).max() / np.maximum(1.0, np.abs(expected).max()))
    # Unlike Python's, numpy's largest of some that are no numbers is no number.
    return float(np.max(differences))
