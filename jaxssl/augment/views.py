"""One random view of one sample; a method maps these functions over its batch with `for_each`."""

from jaxtyping import Array, Float, Int, Key, UInt

from jaxssl.augment.affine import draw_affine, resample
from jaxssl.augment.intensity import change_intensity
from jaxssl.augment.options import Augment


def standardise(
    image: UInt[Array, "y x channel"], mean: Float[Array, ""], std: Float[Array, ""]
) -> Float[Array, "y x channel"]:
    """(image - mean) / std with the intensity statistics of the subject, in their type."""
    return (image.astype(mean.dtype) - mean) / std


def augment(
    key: Key[Array, ""],
    image: Float[Array, "y x channel"],
    mask: Int[Array, "y x"] | None,
    spacing: Float[Array, "2"],
    options: Augment,
    size: tuple[int, int] | None = None,
) -> tuple[Float[Array, "v u channel"], Int[Array, "v u"] | None]:
    """A random view of a standardised image with pixels of `spacing` (dy, dx) mm, and of its mask if there is one.

    The view has `size` pixels, as many as the image if none. Its geometry is `draw_affine(key, options, (y, x),
    spacing, size)`, applied in one resampling; the mask is only moved.
    """
    matrix = draw_affine(key, options, (image.shape[0], image.shape[1]), spacing, size)
    view, moved = resample(matrix, image, mask, size)
    return change_intensity(key, view, options), moved
