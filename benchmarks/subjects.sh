#!/usr/bin/env bash
# How much depends on the number of training subjects? A U-Net of a quarter of the
# channels is trained for equally many steps on parts of the training side, and its
# samples are compared with the held-out brains. PREPARED is a cohort, AUTOENCODER a run
# of dipy_train_vqvae on it. Stop it at any time; the same command goes on.
#
#   benchmarks/subjects.sh PREPARED AUTOENCODER WORK [SUBJECTS ...]
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PREPARED AUTOENCODER WORK [SUBJECTS ...]" >&2
    exit 2
fi
prepared=$(realpath "$1") autoencoder=$2 work=$3
shift 3
all=$(grep -c 'train$' "$prepared/participants.tsv")
mkdir -p "$work"
grep -E '^participant_id|validation$' "$prepared/participants.tsv" > "$work/held_out.tsv"

# Link a part of a cohort: so many training subjects, and all that are held out.
part_of_cohort() {
    local n=$1 folder=$2
    mkdir -p "$folder"
    { cat "$work/held_out.tsv"
      grep 'train$' "$prepared/participants.tsv" | shuf -n "$n" --random-source=<(yes)
    } > "$folder/participants.tsv"
    for name in dataset_description.json participants.json \
        $(tail -n +2 "$folder/participants.tsv" | cut -f 1); do
        ln -sfn "$prepared/$name" "$folder/$name"
    done
}

for n in ${@:-8 16 32 64 "$all"}; do
    here=$work/$n
    part_of_cohort "$n" "$here/prepared"  # always the same one
    dipy_train_ldm "$here/prepared" "$autoencoder" --conditions age sex \
        --widths 12 24 32 --learning_rate 1e-3 --epochs $((3 * all / n)) \
        --guide_epochs 0 --out_dir "$here/ldm"
    dipy_synth_doctor "$here/ldm" --prepared "$here/prepared" --quick \
        --out_dir "$here/doctor" || echo "going on: some checks fail"
    dipy_synth_mri --model "$here/ldm" --participants "$work/held_out.tsv" \
        --out_dir "$here/matched"
    dipy_evaluate_mri "$here/prepared" "$here/matched" --features predictor \
        --weights predictor-ixi-2mm --out_dir "$here/evaluation"
done
