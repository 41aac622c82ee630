"""Every golden value, what of ours it is compared with, and why it is equal, equal after a factor, or must differ.

The first word of a key names whose value it is. Losses are compiled, and their gradients are compared with differences
of their values; gradient norms of others are rows of their own.
"""

import json
import math
import pathlib

from golden import contrastive, distillation, masked, training
from golden.rows import equal, equal_after, must_differ

# Made with the reference implementations, in float32 on a CPU.
MADE = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
del MADE["_about"]

# Closed forms, and what is known of the reference implementations from their tests, settings and single runs.
SAID = {
    "simclr_sum_t0.1": 2 * 3.755809,
    "optax_ntxent_labels0012_t0.1": 10.534218,
    "closed_form_identical_4_pairs": math.log(2 * 4 - 1),
    "closed_form_identical_with_a_bank_of_6": math.log(6 + 1),
    "monai_one_pair": 0.0,
    "monai_two_alike": 1.0986,
    "monai_with_a_zero_row": 0.8719,
    "lightly_ntxent_weights_after_10_steps": [
        [0.1675, 0.2676, 0.3678, 0.4679, 0.5680],
        [0.5763, 0.6742, 0.7721, 0.8700, 0.9679],
    ],
    "lightly_cosine_idx0_1_2_of_10": [1.0, 0.96984631, 0.88302222],
    "simmim_hidden_cells_6x6_0.6": 22,
    "lightly_ibot_masked": 0.4057,
    "lightly_koleo_one_row": 17.7275,
    "lightly_koleo_opposite": -math.log(2),
    "lightly_koleo_orthogonal": -math.log(2) / 2,
    "lightly_koleo_six_rows": 0.2674,
}

student, teacher = distillation.STUDENT, distillation.TEACHER
STEP_0 = distillation.dino_step(student, teacher, [0.0] * 6, epoch=0)
STEP_1 = distillation.dino_step(1.5 * student, 0.5 * teacher, MADE["dino1_center_after1"], epoch=3)
balanced, in_blocks = distillation.balanced_rows, distillation.balanced_in_blocks

TABLE = {
    # NT-Xent: two views, the positive is the other one.
    "monai_contrastive_t0.1": equal(contrastive.NT_XENT[0.1]),
    "monai_contrastive_t0.5": equal(contrastive.NT_XENT[0.5]),
    "lightly_ntxent_t0.1": equal(contrastive.NT_XENT[0.1]),
    "lightly_ntxent_t0.1_gradnorm_z0": equal(contrastive.NT_XENT[0.1].gradient_norm(0), tolerance=5e-6),
    "lightly_ntxent_t0.1_gradnorm_z1": equal(contrastive.NT_XENT[0.1].gradient_norm(1), tolerance=5e-6),
    "lightly_ntxent_t0.5": equal(contrastive.NT_XENT[0.5]),
    "lightly_ntxent_t0.5_gradnorm_z0": equal(contrastive.NT_XENT[0.5].gradient_norm(0), tolerance=5e-6),
    "lightly_ntxent_t0.5_gradnorm_z1": equal(contrastive.NT_XENT[0.5].gradient_norm(1), tolerance=5e-6),
    "lightly_ntxent_weights_after_10_steps": equal(contrastive.weights_after_ten_steps, tolerance=1e-3),
    "solo_simclr_t0.1": equal(contrastive.NT_XENT[0.1]),
    "supcon_unsup_t0.1_base0.1": equal(contrastive.NT_XENT[0.1]),
    "simclr_sum_t0.1": equal_after(2, "they add the losses of both directions", contrastive.NT_XENT[0.1]),
    "openclip_cliploss_scale10": equal(contrastive.CLIP, "the mean of both directions, each with the other's rows"),
    "openclip_siglip_scale10_bias-10": must_differ(
        "a sigmoid for each pair in place of one softmax for each row",
        contrastive.CLIP,
        contrastive.sigmoid_of_each_pair,
    ),
    "closed_form_identical_4_pairs": equal(contrastive.ALIKE, "all rows alike: 2N - 1 candidates share evenly"),
    "closed_form_identical_with_a_bank_of_6": equal(contrastive.ALIKE_WITH_A_BANK, "the partner and M others"),
    "monai_one_pair": equal(lambda: contrastive.monai(*contrastive.ONE_PAIR), "no negatives: nothing to lose"),
    "monai_two_alike": equal(lambda: contrastive.monai(*contrastive.TWO_ALIKE), tolerance=1e-4),
    "monai_with_a_zero_row": equal(lambda: contrastive.monai(*contrastive.ZERO_ROW), tolerance=1e-4),
    # Several positives an anchor, by label or by position.
    "supcon_labels0012_t0.1_base0.1": equal(contrastive.SAME_LABEL),
    "pcl_gcl_labels0012_t0.1_base0.1": equal(contrastive.SAME_LABEL),
    "pcl_pos_t0.1_base0.1_thr0.35": equal(contrastive.CLOSE),
    "supcon_labels0012_t0.1_base0.07": equal_after(
        0.1 / 0.07, "they multiply by temperature / base temperature", contrastive.SAME_LABEL
    ),
    "supcon_oneview_nopos_labels0112_t0.8": equal_after(
        0.8 / 0.07 * 2 / 4,
        "the same factor, and 2 of the 4 anchors have no positive: they count as zeros with them, not at all with us",
        contrastive.ONE_VIEW,
    ),
    "solo_supcon_labels0012_t0.1": must_differ(
        "the logarithm is of the sum over positives, ours is inside that sum",
        contrastive.SAME_LABEL,
        contrastive.logarithm_of_the_sum,
    ),
    "optax_ntxent_labels0012_t0.1": must_differ(
        "each positive is contrasted with the negatives alone, ours with the other positives too",
        contrastive.SAME_LABEL,
        contrastive.each_positive_against_negatives,
    ),
    # Student and teacher.
    "dino1_step0_epoch0": equal(STEP_0[0], also=STEP_0[1:]),
    "dino1_center_after1": equal(lambda: distillation.centre_after(teacher)),
    "dino1_step1_epoch3": equal(STEP_1[0], also=STEP_1[1:]),
    "dino1_center_after2": equal(lambda: distillation.centre_after(teacher, 0.5 * teacher)),
    "dinov2_loss_center": equal_after(
        4, "they add the 4 pairs of two views, of which dino_loss leaves a view with itself out", distillation.CENTRED
    ),
    "dinov2_loss_sk": equal_after(4, "the same 4 pairs", distillation.BALANCED),
    "dinov2_sk_row0": equal(lambda: balanced(0.07)[0], also=[lambda: in_blocks(0.07)[0]], tolerance=5e-6),
    "dinov2_sk_colsum": equal(lambda: balanced(0.07).sum(0), also=[lambda: in_blocks(0.07).sum(0)]),
    "solo_sk_eps0.05_row0": equal(lambda: balanced(0.05)[0], tolerance=5e-6),
    "ibot_masked_center": equal(distillation.IBOT_CENTRED, also=[distillation.IBOT_IN_BLOCKS]),
    "ibot_masked_sk": equal(distillation.IBOT_BALANCED),
    "ibot_center": equal(lambda: distillation.centre_after(distillation.OF_TEACHER[None])),
    "lightly_ibot_masked": equal(distillation.IBOT_OF_LIGHTLY, tolerance=1e-4),
    "koleo_5x8": equal(distillation.KOLEO),
    "koleo_5x8_gradnorm": equal(distillation.KOLEO.gradient_norm(0)),
    "koleo_duplicates_fp32": equal(
        lambda: distillation.koleo([[1, 2, 3, 4]] * 3), "ours too takes the distance of equal rows for 3e-8"
    ),
    "lightly_koleo_one_row": equal(lambda: distillation.koleo([[1]]), "its nearest is itself, at 2e-8", tolerance=1e-4),
    "lightly_koleo_opposite": equal(lambda: distillation.koleo([[0, 1], [0, -1]])),
    "lightly_koleo_orthogonal": equal(lambda: distillation.koleo([[0, 1], [1, 0]])),
    "lightly_koleo_six_rows": equal(lambda: distillation.koleo(distillation.SIX_ROWS), tolerance=1e-4),
    # Masked images.
    "mae_mask_sum": equal(lambda: masked.MASK.sum(), "the input of the next rows is theirs"),
    "mae_patchify_[0,1,:6]": equal(lambda: masked.patchify(masked.IMAGES, 4)[0, 1, :6]),
    "mae_loss_raw": equal(masked.RAW, also=[masked.OF_PICTURES]),
    "mae_loss_normpix": equal(masked.NORMALISED),
    "mae_loss_normpix_ddof1": equal(masked.NORMALISED),
    "mae_loss_normpix_ddof0(jnp.var default trap)": must_differ(
        "the variance of a patch is the unbiased one, as torch takes it", masked.NORMALISED, masked.variance_with_ddof_0
    ),
    "mae_random_masking_noise(7i mod 16)": equal(masked.random_masking),
    "mae_posembed_8_3_cls_row5": equal(lambda: masked.positions()[5], "row 0 is the class token's"),
    "mae_posembed_sum": equal(lambda: masked.positions().sum()),
    "simmim_hidden_cells_6x6_0.6": equal(
        lambda: masked.hidden_cells(6, 0.6), "21.6 is 22 whether rounded, as ours, or up, as theirs"
    ),
    # Optimisers and schedules.
    "mae_lars_2steps_w0": equal(lambda: training.lars_after_two_steps("w")[0]),
    "mae_lars_2steps_b": equal(lambda: training.lars_after_two_steps("b")),
    "mae_layer_ids(n=12 blocks+1)": equal(training.layer_ids, "13 - log(factor) / log(decay) of the same layers"),
    "mae_lr_scales_0.75_first_last": equal(training.first_and_last_scales),
    "dino1_cosine_sched_idx0_9_10_25_49": must_differ(
        "their warm-up is at its peak in its last step, ours (optax's) in the step after; elsewhere they are equal, "
        "once the 1e-6 that theirs ends at is added to ours, which ends at 0",
        training.our_learning_rate,
        training.their_learning_rate,
        part=1,
        tolerance=1e-5,
    ),
    "lightly_cosine_idx0_1_2_of_10": must_differ(
        "their cosine is at its end in the last step, ours in the step after",
        training.our_cosine_of_10,
        training.their_cosine_of_10,
        part=slice(1, 3),
    ),
    "dino1_momentum_idx0_25_49": equal(training.teacher_momentum),
    # Evaluation.
    "dino1_knn_k10_T0.07_top1_top5": equal(
        training.knn_top1, "top 5 of 5 classes is always right, and we have none", part=0
    ),
}

LEFT_OUT = {
    "gram_img_norm_removeneg": "Gram anchoring mends DINOv3's long schedules, which none of the studies has",
}
