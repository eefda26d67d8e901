#!/bin/sh
# Training on two nodes of four GPUs each under Slurm, from a folder that both see. Not run.
#
#     sbatch environments/slurm.sh --dataset_dir DIR --model_dir runs/mine --sync_batch_norm
#
# Two minutes before its time is up the job saves and leaves; the same command goes on.
#SBATCH --job-name=deeplab-v3
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
HOSTS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tr '\n' ' ')
export HOSTS
# What stands in single quotes is for each node to read.
exec srun sh -c 'exec .venv/bin/python runtime/launch.py --workers 4 --hosts $HOSTS \
  --host "$SLURM_NODEID" --allow_network -- train.py "$@"' sh "$@"
