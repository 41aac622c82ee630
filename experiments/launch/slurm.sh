#!/bin/bash
# A run on several GPU nodes under SLURM; jax finds the other processes in SLURM's environment.
#
#     sbatch --nodes 4 experiments/launch/slurm.sh pretrain simclr:study_b --data.store /shared/stores/cine \
#         --workdir /shared/runs/simclr --train.fsdp 8
#
# The store and the workdir lie where all nodes see them. When a node is taken away SLURM queues the job anew, which
# continues from the last checkpoint. Two minutes before its time is out the processes are told (SIGTERM): they save the
# step under way and end with 75, and the job is queued anew.

#SBATCH --job-name=jaxssl
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
#SBATCH --output=jaxssl-%j.log

set -euo pipefail

# One process a GPU: jax gives each process the device of its SLURM_LOCALID.
# srun does not take the cores from the header by itself.
code=0
srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-8}" jaxssl "$@" || code=$?
if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
