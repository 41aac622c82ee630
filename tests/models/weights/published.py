"""Names and shapes of released state dicts, written down from the definitions of the networks and nothing of ours.

torchvision: resnet50, densenet121, vgg16_bn, vit_b_16 and their like; DINOv2: dinov2_vits14_reg; MAE: the pretraining
checkpoint of ViT-B/16.
"""

from itertools import pairwise

Shapes = dict[str, tuple[int, ...]]


def conv(name, outside, inside, side, bias=False) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outside, inside, side, side)}
    return shapes | ({f"{name}.bias": (outside,)} if bias else {})


def linear(name, outside, inside) -> Shapes:
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def layer_norm(name, width) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def batch_norm(name, width) -> Shapes:
    running = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,), f"{name}.num_batches_tracked": ()}
    return layer_norm(name, width) | running


def resnet(blocks, bottleneck) -> Shapes:
    shapes = conv("conv1", 64, 3, 7) | batch_norm("bn1", 64)
    inside = 64
    for level, count in enumerate(blocks):
        width = 64 * 2**level
        sides, outside = ((1, 3, 1), 4 * width) if bottleneck else ((3, 3), width)
        for block in range(count):
            name = f"layer{level + 1}.{block}"
            channels = [inside, *[width] * (len(sides) - 1), outside]
            for number, (side, (before, after)) in enumerate(zip(sides, pairwise(channels), strict=True), 1):
                shapes |= conv(f"{name}.conv{number}", after, before, side) | batch_norm(f"{name}.bn{number}", after)
            if inside != outside:
                shapes |= conv(f"{name}.downsample.0", outside, inside, 1) | batch_norm(f"{name}.downsample.1", outside)
            inside = outside
    return shapes | linear("fc", 1000, inside)


def densenet(layers, growth, stem) -> Shapes:
    shapes = conv("features.conv0", stem, 3, 7) | batch_norm("features.norm0", stem)
    width = stem
    for level, count in enumerate(layers, 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{level}.denselayer{layer}"
            shapes |= batch_norm(f"{name}.norm1", width) | conv(f"{name}.conv1", 4 * growth, width, 1)
            shapes |= batch_norm(f"{name}.norm2", 4 * growth) | conv(f"{name}.conv2", growth, 4 * growth, 3)
            width += growth
        if level < len(layers):
            name = f"features.transition{level}"
            shapes |= batch_norm(f"{name}.norm", width) | conv(f"{name}.conv", width // 2, width, 1)
            width //= 2
    return shapes | batch_norm(f"features.norm{len(layers) + 1}", width) | linear("classifier", 1000, width)


def vgg(plan, normalised) -> Shapes:
    """`plan` has the channels of each convolution, and "M" for a pooling."""
    shapes, place, inside = {}, 0, 3
    for step in plan:
        if step != "M":
            shapes |= conv(f"features.{place}", step, inside, 3, bias=True)
            shapes |= batch_norm(f"features.{place + 1}", step) if normalised else {}
            place += 1 + normalised  # and the ReLU
            inside = step
        place += 1
    for place, (before, after) in zip((0, 3, 6), pairwise((inside * 7 * 7, 4096, 4096, 1000)), strict=True):
        shapes |= linear(f"classifier.{place}", after, before)
    return shapes


VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vit_b_16() -> Shapes:
    shapes = {"class_token": (1, 1, 768), "encoder.pos_embedding": (1, 1 + 14 * 14, 768)}
    shapes |= conv("conv_proj", 768, 3, 16, bias=True)
    for number in range(12):
        name = f"encoder.layers.encoder_layer_{number}"
        shapes |= layer_norm(f"{name}.ln_1", 768) | layer_norm(f"{name}.ln_2", 768)
        shapes |= {
            f"{name}.self_attention.in_proj_weight": (3 * 768, 768),
            f"{name}.self_attention.in_proj_bias": (3 * 768,),
        }
        shapes |= linear(f"{name}.self_attention.out_proj", 768, 768)
        shapes |= linear(f"{name}.mlp.0", 3072, 768) | linear(f"{name}.mlp.3", 768, 3072)
    return shapes | layer_norm("encoder.ln", 768) | linear("heads.head", 1000, 768)


def blocks(name, depth, width, scaled=False) -> Shapes:
    """As timm, DINO and MAE have them."""
    shapes = {}
    for block in (f"{name}.{number}" for number in range(depth)):
        shapes |= layer_norm(f"{block}.norm1", width) | layer_norm(f"{block}.norm2", width)
        shapes |= linear(f"{block}.attn.qkv", 3 * width, width) | linear(f"{block}.attn.proj", width, width)
        shapes |= linear(f"{block}.mlp.fc1", 4 * width, width) | linear(f"{block}.mlp.fc2", width, 4 * width)
        shapes |= {f"{block}.ls1.gamma": (width,), f"{block}.ls2.gamma": (width,)} if scaled else {}
    return shapes


def dinov2_vits14_reg() -> Shapes:
    """Of images of 518 x 518; the registers have no place among the positions."""
    tokens = {"cls_token": (1, 1, 384), "register_tokens": (1, 4, 384), "mask_token": (1, 384)}
    shapes = tokens | {"pos_embed": (1, 1 + 37 * 37, 384)} | conv("patch_embed.proj", 384, 3, 14, bias=True)
    return shapes | blocks("blocks", 12, 384, scaled=True) | layer_norm("norm", 384)


def mae_vit_base() -> Shapes:
    shapes = {"cls_token": (1, 1, 768), "pos_embed": (1, 1 + 14 * 14, 768)}
    shapes |= conv("patch_embed.proj", 768, 3, 16, bias=True) | blocks("blocks", 12, 768) | layer_norm("norm", 768)
    shapes |= {"mask_token": (1, 1, 512), "decoder_pos_embed": (1, 1 + 14 * 14, 512)}
    shapes |= linear("decoder_embed", 512, 768) | blocks("decoder_blocks", 8, 512) | layer_norm("decoder_norm", 512)
    return shapes | linear("decoder_pred", 16 * 16 * 3, 512)
