"""Names of our own, in torch's layout, for what neither torchvision nor timm has: decoders, heads, U-Nets."""

from jaxssl.models.weights.names.rows import CONVOLUTION, DOUBLING, LEAVES, LINEAR, Place, Row

REPRESENTATION = Row("representation/layer{layer}", "representation.layer{layer}", LINEAR)


def blocks(part: str) -> tuple[Row, ...]:
    """Levels of two convolutions, whose biases torch counts to the convolutions, and the doublings between them."""
    rows = []
    for ours, theirs in (("", part), ("pyramid/", f"{part}.pyramid")):
        rows.append(Row(f"{ours}up{{level}}", f"{theirs}.up{{level}}", DOUBLING))
        for place in ("first", "second"):
            here, there = f"{ours}level{{level}}/{place}", f"{theirs}.level{{level}}.{place}"
            rows += [
                Row(f"{here}/conv", f"{there}.conv", CONVOLUTION),
                Row(f"{here}/bias", f"{there}.conv.bias", leaf=True),
                Row(f"{here}/norm", f"{there}.norm"),
            ]
    return (*rows, Row("expand{level}", f"{part}.expand{{level}}", DOUBLING))


def own_place(part: str, path: str, shape: tuple[int, ...]) -> Place:
    """The path with dots, kernels of layers as torch has them; what is not a layer's keeps its name and its axes."""
    *modules, leaf = path.split("/")
    turn = {2: LINEAR, 4: CONVOLUTION}.get(len(shape)) if leaf == "kernel" else None
    return Place(".".join([part, *modules, LEAVES.get(leaf, leaf) if modules else leaf]), turn if modules else None)
