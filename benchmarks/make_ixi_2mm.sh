#!/usr/bin/env bash
# Make the bundled models "ixi-2mm" and "predictor-ixi-2mm", start to end, from a BIDS
# folder of skull-stripped IXI brains (https://brain-development.org/ixi-dataset/, CC
# BY-SA 3.0) with age and sex in participants.tsv. Stop it at any time; the same
# command goes on.
#
#   benchmarks/make_ixi_2mm.sh BRAINS WORK
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: $0 BRAINS WORK" >&2
    exit 2
fi
brains=$1 work=$2
here=$(cd "$(dirname "$0")" && pwd)

# A brain that is longer than the grid is reported and left out: the status is then 1.
dipy_preprocess_t1 "$brains" --stratify sex age --engine joblib --n_jobs 2 \
    --out_dir "$work/prepared" || echo "going on with the scans that could be prepared"
# Without --epochs, all is trained with the preset's own values.
dipy_train_vqvae "$work/prepared" ${VQVAE_EPOCHS:+--epochs "$VQVAE_EPOCHS"} \
    --out_dir "$work/vqvae"
# The decoder alone learns texture; the latents stay what they are.
dipy_train_vqvae "$work/prepared" --decoder_of "$work/vqvae" --adversarial 0.006 \
    --gradient_weight 0 --frequency_weight 0 --epochs "${DECODER_EPOCHS:-6}" \
    --learning_rate 1e-3 --out_dir "$work/decoder"
dipy_train_ldm "$work/prepared" "$work/decoder" --conditions age sex \
    ${LDM_EPOCHS:+--epochs "$LDM_EPOCHS"} --out_dir "$work/ldm"
dipy_train_predictor "$work/prepared" --conditions age sex \
    --out_dir "$work/predictor"
python "$here/bundle_predictor.py" "$work/prepared" "$work/predictor" \
    "$here/../dipy_synth/models/predictor-ixi-2mm"
python "$here/measure_model.py" "$work/prepared" "$work/ldm" --out_dir "$work/measured"
# A brain for each held-out subject, with that subject's age and sex, evaluated.
grep -E '^participant_id|validation$' "$work/prepared/participants.tsv" > "$work/held_out.tsv"
dipy_synth_mri --model "$work/ldm" --participants "$work/held_out.tsv" \
    --out_dir "$work/matched"
dipy_evaluate_mri "$work/prepared" "$work/matched" --features predictor \
    --weights "$work/predictor" --out_dir "$work/evaluation"
dipy_synth_doctor "$work/ldm" --prepared "$work/prepared" --out_dir "$work/doctor"
python "$here/bundle_model.py" "$work" "$here/../dipy_synth/models/ixi-2mm"
