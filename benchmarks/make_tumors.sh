#!/usr/bin/env bash
# Brains with simulated tumours and their masks: make them, train on both at 4 mm, ask
# for tumours by type and place, and measure what comes. SOURCE is a cohort that
# dipy_preprocess_t1 wrote at 2 mm, or "phantoms". Stop it at any time; the same command
# goes on.
#
#   benchmarks/make_tumors.sh SOURCE WORK
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: $0 SOURCE WORK" >&2
    exit 2
fi
source=$1 work=$2
here=$(cd "$(dirname "$0")" && pwd)
# options of the diffusion model's training, such as LDM="--preset small --epochs 2"
read -ra ldm <<<"${LDM:---epochs 2 --learning_rate 1e-3 --noise_range 0.05 2.5 --guide_epochs 0}"
sampling=(--guidance ${GUIDANCE:-3} --guidance_interval 0.3 1000 --steps 24 --batch_size 12)

python "$here/tumors.py" implant "$source" "$work/brains" --brains "${BRAINS:-80}"
dipy_preprocess_t1 "$work/brains" --labels "$work/brains/derivatives/tumors" \
    --no_bias --align none --voxel_size 4 --stratify sex age --out_dir "$work/prepared"
dipy_train_vqvae "$work/prepared" --epochs "${VQVAE_EPOCHS:-2}" --batch_size 8 \
    --channels 16 32 --learning_rate 1e-3 --out_dir "$work/vqvae"
dipy_train_ldm "$work/prepared" "$work/vqvae" --conditions tumor location \
    --batch_size 8 "${ldm[@]}" --out_dir "$work/ldm"
dipy_train_predictor "$work/prepared" --conditions tumor location \
    --epochs "${PREDICTOR_EPOCHS:-40}" --learning_rate 1e-3 \
    --out_dir "$work/predictor"
python "$here/tumors.py" ask "$work/asked.tsv" --each "${EACH:-2}"
dipy_synth_mri --model "$work/ldm" --participants "$work/asked.tsv" \
    "${sampling[@]}" --out_dir "$work/synthetic"
# The same noise, without a tumour: sample i of a seed is the same brain.
dipy_synth_mri --model "$work/ldm" --conditions tumor=none --n_samples 36 \
    "${sampling[@]}" --out_dir "$work/plain"
python "$here/measure_tumors.py" "$work" --out_dir "$work/measured"
