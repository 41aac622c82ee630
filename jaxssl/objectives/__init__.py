"""What is minimised: pure functions of arrays that know no model, no device and no state."""

from jaxssl.objectives.contrastive import contrastive_loss
from jaxssl.objectives.reconstruction import mae_loss, masked_pixel_loss, patch_mask, patches_to_pixels, patchify
from jaxssl.objectives.rules import Rule, near_position, same_instance, same_label, same_subject
from jaxssl.objectives.segmentation import deep_supervision, downsample_labels, segmentation_loss

__all__ = [
    "Rule",
    "contrastive_loss",
    "deep_supervision",
    "downsample_labels",
    "mae_loss",
    "masked_pixel_loss",
    "near_position",
    "patch_mask",
    "patches_to_pixels",
    "patchify",
    "same_instance",
    "same_label",
    "same_subject",
    "segmentation_loss",
]
