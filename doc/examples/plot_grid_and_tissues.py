"""
============================================
Another grid, and the tissues of each brain
============================================

A pipeline expects voxels of 1 mm on the grid of its template, and maps of grey and
white matter. Both come with the brains. It takes about a minute.

Import the function behind ``dipy_synth_mri``, nibabel to read what it writes, and
matplotlib for the pictures.
"""

from pathlib import Path
import tempfile

import matplotlib.pyplot as plt
import nibabel as nib
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
import numpy as np

from dipy_synth.synthesis.generate import synthesize
from dipy_synth.utils.files import read_json

###############################################################################
# The template of the pipeline is a NIfTI image in MNI space: here the one that nilearn
# carries, at 1 mm.

work = Path(tempfile.mkdtemp())
template = load_mni152_template(resolution=1)
nib.save(template, work / "template.nii.gz")

###############################################################################
# Generate a brain on its voxels, with tissues. The command is::
#
#     dipy_synth_mri --conditions age=70 sex=F --like template.nii.gz --tissues \
#         --out_dir synthetic

synthesize(
    "ixi-2mm",
    work / "synthetic",
    conditions=["age=70", "sex=F"],
    like=work / "template.nii.gz",
    tissues=True,
    steps=16,
)
written = sorted((work / "synthetic").glob("sub-*/anat/*.nii.gz"))
for path in written:
    print(path.name)

###############################################################################
# The voxels are those of the template, so the two can be compared one by one. The
# outline of the template is drawn over the brain: the model keeps the sizes of brains,
# so they need not agree.

brain = nib.load(next(path for path in written if "desc-synthetic_T1w" in path.name))
assert brain.shape == template.shape
assert np.allclose(brain.affine, template.affine, atol=1e-3)
middle = brain.shape[2] // 2
outline = load_mni152_brain_mask(resolution=1).get_fdata()[:, :, middle]

fig, ax = plt.subplots(figsize=(4, 4.6), layout="constrained")
ax.imshow(brain.get_fdata()[:, :, middle].T, origin="lower", cmap="gray")
ax.contour(outline.T, levels=[0.5], colors="tab:orange", linewidths=1)
ax.set_title("synthetic, and the template's outline")
ax.set_axis_off()

###############################################################################
# One interpolation makes voxels of 1 mm, but no detail. The sidecar says so.

sidecar = read_json(str(brain.get_filename()).replace(".nii.gz", ".json"))
print(sidecar["Resolution"], sidecar["ContentVoxelSize"])

###############################################################################
# The tissues are those of DIPY's classifier :footcite:p:`zhang2001hmrf`: three maps of
# probabilities, whose sum is 1 in the brain.

fig, axes = plt.subplots(1, 3, figsize=(9, 3.8), layout="constrained")
for ax, tissue in zip(axes, ("GM", "WM", "CSF")):
    path = next(p for p in written if f"label-{tissue}_" in p.name)
    probability = nib.load(path).get_fdata()
    ax.imshow(probability[:, :, middle].T, origin="lower", vmin=0, vmax=1)
    ax.set_title(f"{tissue}, {probability.sum() / 1000:.0f} mL")
    ax.set_axis_off()

###############################################################################
# Voxels of 1 mm on the extent of the model's own grid, without a template::
#
#     dipy_synth_mri --n_samples 10 --voxel_size 1 --out_dir cohort_1mm
#
# References
# ----------
#
# .. footbibliography::
