"""
=======================
Preparing a T1 scan
=======================

A network sees every brain on one grid, with its intensities in [0, 1] and the
background at exactly 0. This example takes a phantom as a scanner would give it,
shaded and oblique, to that form and back.

"""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.data.preprocess import prepare_t1, restore_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.phantom import make_phantom

###############################################################################
# A phantom stands for the scan. Here its voxels are 2 mm wide, its coil shades it, and
# it lies tilted in the scanner: the affine is that of a head turned by 20 degrees.

shape = (80, 96, 80)
phantom = make_phantom(0, shape=shape, voxel_size=2.0, age=65, bias=0.4, noise=0.02)
angle = np.radians(20)
turn = np.eye(4)
turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
native = np.where(phantom.mask, phantom.data * 800, 0)
native_affine = turn @ phantom.affine

###############################################################################
# The configuration says what is done: bias field correction by N4 [1]_, rigid alignment
# to MNI152, which keeps sizes, one resampling onto the grid, and robust scaling.

preprocessing = PreprocessConfig()
prepared = prepare_t1(native, native_affine, preprocessing=preprocessing)
print(prepared.data.shape, prepared.data.min(), prepared.data.max())
print(f"brain: {prepared.brain_volume:.0f} mL")

###############################################################################
# The prepared volume remembers the way back to the voxels of the scan.

restored, restored_affine = restore_t1(prepared)
assert restored.shape == native.shape
np.testing.assert_allclose(restored_affine, native_affine, atol=1e-3)

fig, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for ax, volume, title in zip(
    axes, (native, prepared.data, restored), ("scan", "prepared", "and back")
):
    ax.imshow(volume[:, :, volume.shape[2] // 2].T, origin="lower", cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()

###############################################################################
# A whole study is prepared by one command, which also divides the subjects into
# training and validation::
#
#     dipy_preprocess_t1 STUDY --out_dir prepared
#
# References
# ----------
#
# .. [1] Tustison et al., "N4ITK: improved N3 bias correction", IEEE Transactions on
#    Medical Imaging 29(6), 2010.
