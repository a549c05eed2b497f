"""
==============================
Training, from start to end
==============================

Make a cohort of phantoms, prepare it, train the autoencoder and the latent diffusion
model :footcite:p:`rombach2022latent`, and generate brains of two ages. Everything is
small, so that it takes about three minutes on two cores: what comes out shows the
steps, not the quality.

First import what is needed: phantoms, the readers and the preparation, the two models
with their training settings, and matplotlib for the pictures.
"""

from pathlib import Path
import tempfile

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.grid import Grid
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.phantom import make_phantom
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import write_table

###############################################################################
# A study is a BIDS folder: scans, and a table with age and sex. Phantoms are seeded;
# their ventricles grow with age.

work = Path(tempfile.mkdtemp())
grid = Grid((24, 32, 24), (6.0, 6.0, 6.0))
rows = []
for seed, age in enumerate(np.linspace(20, 80, 32).round(1).tolist()):
    phantom = make_phantom(
        seed, age=age, shape=grid.shape, voxel_size=6.0, center=grid.center
    )
    name = f"sub-{seed + 1:02d}"
    folder = work / "study" / name / "anat"
    folder.mkdir(parents=True)
    image = nib.Nifti1Image(phantom.data, phantom.affine)
    nib.save(image, folder / f"{name}_T1w.nii.gz")
    sex = phantom.covariates["sex"]
    rows.append({"participant_id": name, "age": age, "sex": sex})
write_table(work / "study" / "participants.tsv", rows)
description = {"Name": "Phantoms", "BIDSVersion": "1.10.0"}
write_json(work / "study" / "dataset_description.json", description)

###############################################################################
# Prepare it. Phantoms lie on the grid already and have no bias field, so both steps are
# left out. The command is::
#
#     dipy_preprocess_t1 study --align none --no_bias --voxel_size 6 \
#         --grid_shape 24 32 24 --stratify sex age --out_dir prepared

prepare_cohort(
    read_records(work / "study"),
    work / "prepared",
    preprocessing=PreprocessConfig(bias=False, align="none", grid=grid),
    stratify=("sex", "age"),
)
cohort = Cohort.load(work / "prepared")
print(
    cohort.where("train").sum(),
    "to train,",
    cohort.where("validation").sum(),
    "held out",
)

###############################################################################
# Train the autoencoder. It starts from the principal components of patches of 4 voxels
# a side. The command is::
#
#     dipy_train_vqvae prepared --epochs 6 --batch_size 4 --channels 16 32 --crop 1 \
#         --out_dir vqvae

vqvae = VQVAE(None)
vqvae.fit(
    cohort,
    run_dir=work / "vqvae",
    settings=TrainingSettings(epochs=6, batch_size=4, learning_rate=1e-3),
    network={"channels": (16, 32), "blocks": 1},
    crop=1,
)

###############################################################################
# Look at held-out brains before going on: originals above, decoded below. No synthetic
# brain can be sharper than these.

held_out = np.asarray(cohort.volumes("validation")[:5], "float32")
decoded = vqvae.reconstruct(held_out)


def show(rows, titles):
    """Show the middle axial slice of each volume, a row each."""
    shape = (len(rows), len(rows[0]))
    size = (1.6 * shape[1], 1.9 * shape[0])
    fig, axes = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    for row, volumes, title in zip(axes, rows, titles):
        row[0].set_title(title, loc="left")
        for ax, volume in zip(row, volumes):
            middle = volume.shape[2] // 2
            ax.imshow(
                volume[:, :, middle].T, origin="lower", cmap="gray", vmin=0, vmax=1
            )
            ax.set_axis_off()


show([held_out, decoded], ["held out", "decoded"])

###############################################################################
# Train the diffusion model on its latents, with age and sex as conditions. The command
# is::
#
#     dipy_train_ldm prepared vqvae --conditions age sex --epochs 8 --batch_size 8 \
#         --widths 32 64 --out_dir ldm

ldm = LDM(None)
history = ldm.fit(
    cohort,
    vqvae,
    run_dir=work / "ldm",
    settings=TrainingSettings(epochs=8, batch_size=8, learning_rate=1e-3),
    conditions=("age", "sex"),
    network={"widths": (32, 64), "blocks": 1},
    crop=0,
)

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for name in ("loss", "val_loss"):
    ax.plot(
        [row["epoch"] for row in history], [row[name] for row in history], label=name
    )
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()

###############################################################################
# Generate. Equal numbers start from the same noise, so that each pair differs by the
# age alone. The command is::
#
#     dipy_synth_mri --model ldm --sweep age=25,75 --n_samples 5 --out_dir synthetic

pairs = {
    age: ldm.generate(5, seed=0, conditions={"age": age}, steps=16, batch_size=5)
    for age in (25, 75)
}
show(list(pairs.values()), [f"requested age {age}" for age in pairs])

###############################################################################
# The next steps are the diagnostics (:ref:`sphx_glr_auto_examples_plot_why_noise.py`)
# and the evaluation (:ref:`sphx_glr_auto_examples_plot_evaluate.py`).
#
# References
# ----------
#
# .. footbibliography::
