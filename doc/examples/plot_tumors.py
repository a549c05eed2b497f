"""
==============================
Tumours in brains
==============================

Any column of a table can be a condition of a model, the type and the place of a tumour
as well. To try it without scans of patients, tumours are simulated in brains: here in
the MNI152 template, which comes with nilearn.

Import the template, the simulation, and matplotlib for the pictures.
"""

import matplotlib.pyplot as plt

from dipy_synth.data.align import load_template
from dipy_synth.data.preprocess import prepare_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.phantom import KINDS, LOCATIONS, simulate_tumor

###############################################################################
# Prepare the brain: 80 x 96 x 80 voxels of 2 mm with values in [0, 1].

data, affine = load_template()
brain = prepare_t1(data, affine, preprocessing=PreprocessConfig(bias=False))
print("kinds:", ", ".join(KINDS))
print("places:", ", ".join(LOCATIONS))

###############################################################################
# Put each kind at one place. A seed draws the shape and the exact centre; tissue around
# a tumour is pushed aside, except by a low-grade one.

scans = {"none": brain.data}
for kind in KINDS:
    scans[kind], tumor_mask = simulate_tumor(
        brain.data,
        brain.mask,
        kind=kind,
        location="parietal-left",
        size_mm=40,
        seed=1,
        affine=brain.affine,
    )
    print(f"{kind}: {tumor_mask.sum() * 8 / 1000:.0f} mL")

###############################################################################
# The difference to the brain without a tumour shows where it is, and what was pushed.
# Slices are cut where the difference is largest.

fig, axes = plt.subplots(
    2, len(scans), figsize=(2.2 * len(scans), 5), layout="constrained"
)
changed = sum(abs(scan - brain.data) for scan in scans.values())
level = int(changed.sum(axis=(0, 1)).argmax())
for (top, bottom), (kind, scan) in zip(axes.T, scans.items()):
    top.imshow(scan[:, :, level].T, origin="lower", cmap="gray", vmin=0, vmax=1)
    top.set_title(kind)
    difference = (scan - brain.data)[:, :, level].T
    bottom.imshow(difference, origin="lower", cmap="RdBu_r", vmin=-0.6, vmax=0.6)
    for ax in (top, bottom):
        ax.set_axis_off()

###############################################################################
# The same kind at other places. The left of the picture is the left of the brain.

places = [place for place in LOCATIONS if place.endswith("left")][:4]
fig, axes = plt.subplots(1, len(places), figsize=(9, 2.9), layout="constrained")
for ax, place in zip(axes, places):
    scan, tumor_mask = simulate_tumor(
        brain.data,
        brain.mask,
        kind="meningioma",
        location=place,
        size_mm=40,
        affine=brain.affine,
    )
    cut = int(tumor_mask.sum(axis=(0, 1)).argmax())
    ax.imshow(scan[:, :, cut].T, origin="lower", cmap="gray", vmin=0, vmax=1)
    ax.set_title(place)
    ax.set_axis_off()

###############################################################################
# For a model, write such scans as a BIDS folder with columns ``tumor`` and ``location``
# (``benchmarks/tumors.py`` does), and train with both as conditions::
#
#     dipy_preprocess_t1 scans --align none --no_bias --out_dir tumors
#     dipy_train_vqvae tumors --out_dir vqvae
#     dipy_train_ldm tumors vqvae --conditions tumor location --out_dir ldm
#     dipy_synth_mri --model ldm --n_samples 8 --out_dir asked \
#         --conditions tumor=glioblastoma location=frontal-left \
#         --guidance 4 --guidance_interval 0.3 1000
