#!/usr/bin/env bash
# Make the bundled model "mnist", start to end, and measure it: from one file of images,
# as MNIST's own t10k-images-idx3-ubyte.gz with the labels beside it, or an .npz of
# "images" and "labels". Stop it at any time; the same command goes on.
#
#   benchmarks/make_mnist.sh IMAGES WORK
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: $0 IMAGES WORK" >&2
    exit 2
fi
images=$1 work=$2
here=$(cd "$(dirname "$0")" && pwd)
ldm=(--conditions label --preset mnist --epochs "${LDM_EPOCHS:-30}" --guide_epochs 0)

dipy_train_vqvae "$images" --preset mnist --out_dir "$work/vqvae"
dipy_train_predictor "$images" --out_dir "$work/predictor"
dipy_train_ldm "$images" "$work/vqvae" "${ldm[@]}" --out_dir "$work/flow"
dipy_train_ldm "$images" "$work/vqvae" "${ldm[@]}" --schedule linear \
    --diffusion_steps 1000 --out_dir "$work/ddpm"
dipy_train_ldm "$images" "$work/vqvae" "${ldm[@]}" --schedule linear \
    --diffusion_steps 1000 --prediction v --out_dir "$work/ddpm_v"
# Chains too short to end in noise: rescaled so that they do, with v; and as they are.
for steps in 200 300; do
    dipy_train_ldm "$images" "$work/vqvae" "${ldm[@]}" --schedule linear \
        --diffusion_steps $steps --prediction v --zero_terminal_snr \
        --out_dir "$work/ddpm_v_$steps"
    dipy_train_ldm "$images" "$work/vqvae" "${ldm[@]}" --schedule linear \
        --diffusion_steps $steps --out_dir "$work/ddpm_$steps"
done
python "$here/mnist.py" "$images" "$work"
python "$here/bundle_mnist.py" "$images" "$work" "$here/../dipy_synth/models/mnist"
