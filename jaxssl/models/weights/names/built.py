"""How timm builds a network, as text: what to call with which keywords, and how images [batch, channel, y, x] go in."""

from typing import NamedTuple

from jaxssl.models.norm import Norm
from jaxssl.models.weights.names.rows import Shapes


class Built(NamedTuple):
    """A class in timm.models and its keywords, and what embeds images."""

    builder: str
    keywords: dict[str, str]
    embedding: str = "model.eval()(images)"


def norm_layer(norm: Norm | None, shapes: Shapes) -> dict[str, str] | None:
    """The keyword for a normalisation of so many channels; none where timm would make other groups of some of them."""
    if norm is None:
        return {"norm_layer": "None"}
    if norm.type == "batch":
        return {"norm_layer": f"partial(torch.nn.BatchNorm2d, eps={norm.epsilon})"}
    groups = norm.channel_groups
    scales = [shape[0] for name, shape in shapes.items() if name.endswith(".weight") and len(shape) == 1]
    if any(channels % groups or channels < 2 * groups for channels in scales):
        return None
    return {"norm_layer": f"partial(timm.layers.GroupNorm, num_groups={groups}, eps={norm.epsilon})"}
