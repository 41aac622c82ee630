"""What is minimised: pure functions of arrays that know no model, no device and no state."""

from jaxssl.objectives.classification import classification_loss, inverse_frequency
from jaxssl.objectives.contrastive import contrastive_loss
from jaxssl.objectives.distillation import (
    centre_softmax,
    dino_loss,
    koleo_loss,
    masked_patch_loss,
    regression_loss,
    sinkhorn,
)
from jaxssl.objectives.fills import filled
from jaxssl.objectives.masks import fan_of, hidden_count, keep_least, mostly, patch_mask
from jaxssl.objectives.patches import patches_to_pixels, patchify, unpatchify
from jaxssl.objectives.planes import Heatmaps, heatmap_loss, line_heatmaps, location_loss
from jaxssl.objectives.prototype_blocks import Targets
from jaxssl.objectives.prototypes import (
    TargetStatistics,
    centred_targets,
    next_centre,
    prototype_loss,
    prototype_patch_loss,
    sinkhorn_targets,
    target_statistics,
)
from jaxssl.objectives.reconstruction import mae_loss, masked_pixel_loss
from jaxssl.objectives.rules import Rule, near_position, same_instance, same_label, same_subject
from jaxssl.objectives.segmentation import deep_supervision, downsample_labels, segmentation_loss

__all__ = [
    "Heatmaps",
    "Rule",
    "TargetStatistics",
    "Targets",
    "centre_softmax",
    "centred_targets",
    "classification_loss",
    "contrastive_loss",
    "deep_supervision",
    "dino_loss",
    "downsample_labels",
    "fan_of",
    "filled",
    "heatmap_loss",
    "hidden_count",
    "inverse_frequency",
    "keep_least",
    "koleo_loss",
    "line_heatmaps",
    "location_loss",
    "mae_loss",
    "masked_patch_loss",
    "masked_pixel_loss",
    "mostly",
    "near_position",
    "next_centre",
    "patch_mask",
    "patches_to_pixels",
    "patchify",
    "prototype_loss",
    "prototype_patch_loss",
    "regression_loss",
    "same_instance",
    "same_label",
    "same_subject",
    "segmentation_loss",
    "sinkhorn",
    "sinkhorn_targets",
    "target_statistics",
    "unpatchify",
]
