"""What of an image a run has shown its networks, in words for whoever shows them others."""

from jaxssl.recipe import Recipe

LEAST = "set to the smallest value of the image, channel by channel"
SHOWN = {
    "heart": f"the heart alone: all that lies outside the image's mask was {LEAST}",
    "box": f"all but a box about the heart: all that lies within the smallest box that holds the masks was {LEAST}",
    "swapped": "the heart before the background of another subject: what lies outside the image's mask came from an "
    f"image of the other, in which the heart was {LEAST}",
}


def shown(recipe: Recipe) -> str:
    """How "in training it was shown" goes on; nothing where that was the whole image."""
    return SHOWN.get(getattr(recipe.method, "input", "full"), "")
