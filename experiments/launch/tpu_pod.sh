#!/bin/bash
# `pretrain` or `finetune` on a TPU pod slice: the same command on every host of it; jax finds the others by the pod's metadata.
#
#     TPU=my-pod ZONE=europe-west4-b experiments/launch/tpu_pod.sh pretrain simclr:study_b \
#         --data.store /mnt/shared/stores/cine --workdir /mnt/shared/runs/simclr --data.resident
#
# Needs gcloud, and on each host jaxssl (from a checkout: pip install -c constraints.txt -e '.[tpu]') and a disk that
# all hosts see. After a preemption the
# same line continues from the last checkpoint.

set -euo pipefail

: "${TPU:?name the TPU: TPU=my-pod}" "${ZONE:?name its zone: ZONE=europe-west4-b}"

exec gcloud compute tpus tpu-vm ssh "$TPU" --zone "$ZONE" --worker all --command "$(printf '%q ' jaxssl "$@")"
