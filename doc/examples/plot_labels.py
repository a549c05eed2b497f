"""
==============================
Brains with their labels
==============================

Train on images and label maps together, and generate both: here phantoms with simulated
tumours, whose masks are known. Everything is small, so that it takes two minutes on two
cores: what comes out shows the steps, not the quality.

Import phantoms and tumours, the preparation, and the two models.
"""

from pathlib import Path
import tempfile

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.label_table import read_names
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.grid import Grid
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.phantom import make_phantom, simulate_tumor
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.tables import write_table

###############################################################################
# A study: scans, and beside them a folder of label maps. The value of a tumour is 7
# here; ``dseg.tsv`` says its name.

work, side = Path(tempfile.mkdtemp()), ("left", "right")
grid = Grid((24, 32, 24), (6.0, 6.0, 6.0))
rows = []
for seed in range(24):
    phantom = make_phantom(seed, shape=grid.shape, voxel_size=6.0, center=grid.center)
    scan, tumor = simulate_tumor(
        phantom.data,
        phantom.mask,
        kind="meningioma",
        location=f"frontal-{side[seed % 2]}",
        size_mm=50,
        seed=seed,
        affine=phantom.affine,
    )
    name = f"sub-{seed + 1:02d}"
    for folder, end in (("study", "T1w"), ("labels", "dseg")):
        (work / folder / name / "anat").mkdir(parents=True)
        data = scan if end == "T1w" else 7 * tumor.astype("uint8")
        image = nib.Nifti1Image(data, phantom.affine)
        nib.save(image, work / folder / name / "anat" / f"{name}_{end}.nii.gz")
    rows.append({"participant_id": name, "tumor": side[seed % 2]})
write_table(work / "study" / "participants.tsv", rows)
write_table(work / "labels" / "dseg.tsv", [{"index": "7", "name": "meningioma"}])

###############################################################################
# Prepare them together. The command is::
#
#     dipy_preprocess_t1 study --labels labels --align none --no_bias --voxel_size 6 \
#         --grid_shape 24 32 24 --out_dir prepared

prepare_cohort(
    read_records(work / "study", label_paths=work / "labels"),
    work / "prepared",
    preprocessing=PreprocessConfig(bias=False, align="none", grid=grid),
    label_names=read_names(work / "labels"),
)
cohort = Cohort.load(work / "prepared")
print(cohort.label_table)

###############################################################################
# Train the autoencoder: labels have numbers of their own beside those of the image. ::
#
#     dipy_train_vqvae prepared --epochs 4 --channels 8 16 --out_dir vqvae

vqvae = VQVAE(None)
vqvae.fit(
    cohort,
    run_dir=work / "vqvae",
    settings=TrainingSettings(epochs=4, batch_size=4, learning_rate=1e-3),
    network={"channels": (8, 16), "blocks": 1},
    crop=1,
)
print(vqvae.network.image_numbers, "numbers a patch of the image")
print(len(vqvae.network.label_levels), "numbers a patch of the labels")

###############################################################################
# Held-out brains with their masks, and the same encoded and decoded. No synthetic mask
# can be better than these.

held_out = np.asarray(cohort.volumes("validation")[:4], "float32")
masks = np.asarray(cohort.label_maps("validation")[:4])
latents = vqvae.encode(held_out, label_maps=masks)
decoded, decoded_masks = vqvae.decode(latents, return_labels=True)


def show(rows, titles):
    """Show each volume where its labels are largest, with their outline."""
    shape = (len(rows), len(rows[0][0]))
    size = (1.8 * shape[1], 2.1 * shape[0])
    fig, axes = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    for row, (volumes, label_maps), title in zip(axes, rows, titles):
        row[0].set_title(title, loc="left")
        for ax, volume, label_map in zip(row, volumes, label_maps):
            level = int(label_map.astype(bool).sum(axis=(0, 1)).argmax())
            level = level if label_map.any() else volume.shape[2] // 2
            slices = [array[:, :, level].T for array in (volume, label_map)]
            ax.imshow(slices[0], origin="lower", cmap="gray", vmin=0, vmax=1)
            if slices[1].any():
                ax.contour(slices[1] > 0, levels=[0.5], colors="tab:orange")
            ax.set_axis_off()


show([(held_out, masks), (decoded, decoded_masks)], ["held out", "decoded"])

###############################################################################
# Train the diffusion model on both. ::
#
#     dipy_train_ldm prepared vqvae --conditions tumor --epochs 8 --batch_size 8 \
#         --widths 32 64 --out_dir ldm

ldm = LDM(None)
ldm.fit(
    cohort,
    vqvae,
    run_dir=work / "ldm",
    settings=TrainingSettings(epochs=8, batch_size=8, learning_rate=1e-3),
    conditions=("tumor",),
    network={"widths": (32, 64), "blocks": 1},
    crop=0,
)

###############################################################################
# Generate brains and their label maps. The command writes the latter as
# ``..._dseg.nii.gz`` beside the volumes, with ``dseg.tsv``::
#
#     dipy_synth_mri --model ldm --conditions tumor=left --n_samples 4 --out_dir cohort

made = [
    ldm.generate(
        4,
        seed=0,
        conditions={"tumor": place},
        steps=16,
        guidance=3.0,
        batch_size=4,
        return_labels=True,
    )
    for place in side
]
show(made, [f"requested: {place}" for place in side])
for (_, label_maps), place in zip(made, side):
    size = np.prod(grid.voxel_size) / 1000
    volumes_ml = [round(float(np.count_nonzero(m) * size)) for m in label_maps]
    print(f"{place}: {volumes_ml} mL")
