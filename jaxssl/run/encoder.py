"""`load`: the encoder of a run or of an exported file, for arrays."""

import functools
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxssl import config
from jaxssl.data.formats import Image
from jaxssl.data.formats.image import checked
from jaxssl.data.formats.prepare import STORED, on_layout
from jaxssl.data.grid import Layout
from jaxssl.data.intensity import Moments
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Batch, Tree
from jaxssl.models.weights.files import read_file
from jaxssl.models.weights.paths import nested
from jaxssl.numerics import island
from jaxssl.recipe import Recipe
from jaxssl.run.common import LoadedRun, load_run
from jaxssl.run.exporting import FILES
from jaxssl.run.shown import shown
from jaxssl.run.terminal import console_of, warner
from jaxssl.workdir import Workdir, existing

Standardised = Float[np.ndarray, "y x channel"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen encoder: `encoder(images)` gives [n, d] of float32, `encoder.maps(images)` its dense features.

    `images` are [n, y, x] or [n, y, x, channel] of any real type and in any scale. With `spacing`, the size in mm of
    the pixels of all images of the call, (y, x) or one for both sides, they are put on the grid of training first, as
    training did; where nobody knows that size, nan, they are fitted in as a whole. Without it they are taken as they
    are: their pixels should then be of `encoder.spacing` mm, their sides those of `encoder.size`; other sides that the
    network takes are compiled anew. Where `encoder.spacing` is none, each image of training had its own: with any
    `spacing` images are padded or cut about their centre, and not resampled.

    They are standardised as in training, to units of a standard deviation about a mean: each image's own, or with
    `subjects`, which has a label for each image, those of all images of its subject in the call. Training takes both
    from all images of a subject, whole, before these are padded or cut to `size`.

    `batch` images are computed at a time, the last ones filled up, so that one program serves any number of images.
    """

    model: Any
    # A notebook shows what an encoder is, not its millions of numbers.
    variables: Tree = field(repr=False)
    layout: Layout
    channels: int
    dtype: Any = jnp.float32
    batch: int = 64

    @property
    def size(self) -> tuple[int, int]:
        """(y, x) of the images in training."""
        return self.layout.size

    @property
    def spacing(self) -> float | None:
        """Of the pixels in training, in mm; none where each image had its own."""
        return self.layout.spacing

    @functools.cached_property
    def width(self) -> int:
        """How many numbers an embedding has."""
        image = np.zeros((1, *self.size, self.channels), np.float32)
        encode = functools.partial(self._program, None)
        return jax.eval_shape(encode, self.variables, image, *_as_it_is(1)).shape[-1]

    def __call__(
        self,
        images: Shaped[np.ndarray, "n y x *channel"],
        subjects: Sequence[Any] | None = None,
        *,
        spacing: float | tuple[float, float] | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """The embeddings of images, in their order."""
        return np.stack(list(self.stream(self._checked(images, subjects, spacing))))

    def maps(
        self,
        images: Shaped[np.ndarray, "n y x *channel"],
        subjects: Sequence[Any] | None = None,
        *,
        spacing: float | tuple[float, float] | None = None,
        level: int = -1,
    ) -> Float[np.ndarray, "n h w c"]:
        """Dense features: the map of a level, 0 the finest and -1 the coarsest, which has the patches of a ViT.

        Of a ViT with `decoder_widths`, 0 is the standardised image itself, which its decoder joins, and no feature.
        """
        return np.stack(list(self.stream(self._checked(images, subjects, spacing), level)))

    def encode(self, batch: Batch) -> Float[Array, "batch d"]:
        """The embeddings of a batch as training knows it, with the intensities of its subjects."""
        return self._program(None, self.variables, batch["image"], batch["mean"], batch["std"])

    def stream(self, images: Iterable[Standardised], level: int | None = None) -> Iterator[Float[np.ndarray, "..."]]:
        """The embedding of one standardised image after the other, or its map; a batch of images is held at a time."""
        images = iter(images)
        while chunk := list(itertools.islice(images, self.batch)):
            filled = np.stack(chunk + chunk[-1:] * (self.batch - len(chunk)))
            yield from np.asarray(self._program(level, self.variables, filled, *_as_it_is(self.batch)))[: len(chunk)]

    @functools.cached_property
    def _program(self) -> Callable[..., jax.Array]:
        encoder = self.model.encoder(dtype=self.dtype, rows=1)

        def program(level: int | None, variables: Tree, images: jax.Array, mean: jax.Array, std: jax.Array) -> Any:
            images = parts.standardised({"image": images, "mean": mean, "std": std})
            features = parts.evaluate(encoder, variables["params"], variables["statistics"], images)
            return (features.embedding if level is None else island(features.maps[level])).astype(jnp.float32)

        return jax.jit(program, static_argnums=0)

    def _checked(
        self, images: Any, subjects: Sequence[Any] | None, spacing: float | tuple[float, float] | None
    ) -> Iterator[Standardised]:
        """The images in units of their standard deviation, one after the other, once all have been looked at."""
        try:
            images = self._with_channels(np.asarray(images))
        except ValueError as error:
            raise UserError(f"Images are one array ({error}); bring them to one size first.") from error
        if subjects is not None and len(subjects) != len(images):
            raise UserError(f"{len(images)} images came with {len(subjects)} subjects; give one for each image.")
        owners = np.arange(len(images)) if subjects is None else np.asarray(subjects)
        if spacing is None:
            self.model.check_size(images.shape[1:3])
            return (
                ((image.astype(np.float64) - mean) / std).astype(np.float32)
                for image, (mean, std), _ in _with_scales(images, owners)
            )
        own = _pair(spacing)
        return (
            on_layout(_countable(Image(image, own)), self.layout, self.channels, *scale, air).pixels
            for image, scale, air in _with_scales(images, owners)
        )

    def _with_channels(self, images: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "n y x channel"]:
        wanted = f"[n, y, x, {self.channels}]" + (" or [n, y, x]" if self.channels == 1 else "")
        # numpy does not know that bfloat16 is a real type; jax does.
        if not any(jnp.issubdtype(images.dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating)):
            raise UserError(f"Images are arrays of real numbers, not of {images.dtype}; give {wanted}.")
        if images.ndim == 3 and self.channels == 1:
            images = images[..., None]
        if images.ndim != 4 or images.shape[3] != self.channels or not images.size:
            raise UserError(f"This encoder takes images {wanted}, at least one of them, not {list(images.shape)}.")
        return images


def load(path: str | Path, batch: int = 64) -> Encoder:
    """The encoder of a run, to embed arrays with. Their scale is nothing to it: images are standardised as in training.

    >>> encoder = jaxssl.load("runs/mim")
    >>> image = np.random.default_rng(0).normal(size=encoder.size)
    >>> one, other = encoder(np.stack([image, 1000 * image + 5]))
    >>> one.shape == (encoder.width,), float(np.abs(one - other).max()) < 1e-4
    (True, True)

    Args:
        path: Folder of a run that has begun, of which the newest good checkpoint is taken; or what `jaxssl export` has
            written in jaxssl's own names, the safetensors file or its folder.
        batch: Images that are computed at a time.
    """
    if batch < 1:
        raise UserError(f"A batch has at least one image, not {batch}.")
    for file in (Path(path), Path(path) / FILES["safetensors"]):
        if file.is_file():
            return _of_file(file, batch)
    workdir = existing(path)
    loaded = load_run(workdir, warner(console_of(None)))
    return encoder_of(loaded, workdir, batch)


def encoder_of(loaded: LoadedRun, workdir: Workdir, batch: int = 64) -> Encoder:
    """The encoder of a run that has been read."""
    return _encoder(loaded.recipe, loaded.parts["encoder"], workdir.facts()["channels"], batch, workdir.path)


def _of_file(path: Path, batch: int) -> Encoder:
    """The encoder in a file that brings its recipe along."""
    file = read_file(path)
    try:
        recipe = config.from_dict(json.loads(file.metadata["recipe"]), str(path))
        channels, variables = int(file.metadata["channels"]), nested(file.tensors)["encoder"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} holds no encoder in jaxssl's own names with its recipe beside it; "
            "name a file that `jaxssl export` has written, or a run."
        ) from error
    return _encoder(recipe, variables, channels, batch, path)


def _encoder(recipe: Recipe, variables: Tree, channels: int, batch: int, where: Path) -> Encoder:
    """The encoder of a recipe with these variables; a warning where it was not shown whole images."""
    if seen := shown(recipe):
        warner(console_of(None))(f"in training {where} was shown {seen}.")
    return Encoder(recipe.model, jax.device_put(variables), recipe.data.layout, channels, recipe.train.dtype, batch)


def _pair(spacing: float | tuple[float, float]) -> tuple[float, float] | None:
    """Of (y, x), or one for both; none where it is unknown."""
    try:
        sides = np.ravel(np.asarray(spacing, np.float64)).tolist()
    except (TypeError, ValueError):
        sides = []
    if len(sides) not in (1, 2) or any(side <= 0 or math.isinf(side) for side in sides):
        raise UserError(
            f"The pixels of all images have one positive size in mm, or two, (y, x), not {spacing}; give nan if nobody "
            "knows it."
        )
    return None if any(map(math.isnan, sides)) else (sides[0], sides[-1])


def _countable(image: Image) -> Image:
    """In a type that a matrix of weights multiplies; what a store holds stays, and is rounded as there."""
    # Only of these kinds are those that a store holds. The others, and bfloat16, which is no kind that files are
    # checked for, become float64 whatever they are.
    pixels = checked(image).pixels if image.pixels.dtype.kind in "bu" else image.pixels
    return image._replace(pixels=pixels if pixels.dtype in STORED else pixels.astype(np.float64))


def _with_scales(
    images: Shaped[np.ndarray, "n y x channel"], owners: np.ndarray
) -> Iterator[tuple[Shaped[np.ndarray, "y x channel"], tuple[float, float], float]]:
    """Each image with mean and standard deviation of all that have its owner, and the lowest value of these below 0."""
    own = [Moments.of(image) for image in images]
    # A sum over an image is finite only if all its pixels are.
    if wrong := [place for place, each in enumerate(own) if not math.isfinite(each.squares)]:
        raise UserError(f"Image {wrong[0]} has pixels that are not finite; mend it, or leave it out.")
    labels = np.unique(owners, return_inverse=True)[1].ravel().tolist()
    whole: dict[int, Moments] = defaultdict(Moments)
    air: dict[int, float] = defaultdict(float)
    for label, moments, image in zip(labels, own, images, strict=True):
        whole[label] += moments
        air[label] = min(air[label], float(image.min()))
    return ((image, whole[label].scale, air[label]) for label, image in zip(labels, images, strict=True))


def _as_it_is(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation that leave standardised images as they are."""
    return np.zeros(count, np.float32), np.ones(count, np.float32)
