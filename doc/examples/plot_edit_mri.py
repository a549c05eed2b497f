"""
==============================
Editing a scan
==============================

How might a brain look thirty years older? The scan is brought to the latents and,
under its own conditions, to the noise that the model makes it of; from there the model
generates it twice, under its own conditions and under others
:footcite:p:`sanchez2022diffusion`. What the two differ by is the edit. It takes one to
two minutes.

Import the model and the edit, and matplotlib for the pictures.
"""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.nn.ldm import LDM
from dipy_synth.synthesis.edit import edit_volume

###############################################################################
# No scan of a person comes with the package, so a synthetic brain stands for one here.
# Its age and sex are known, as those of a scan should be.

ldm = LDM()
own = {"age": 35, "sex": "F"}
(scan,) = ldm.generate(1, seed=4, conditions=own, steps=16)

###############################################################################
# Edit it to 65 years. ``again`` is the brain generated under its own conditions. What
# the autoencoder and the way to the noise lose is in both, and cancels in the
# difference.

older, again = edit_volume(ldm, scan, own, {**own, "age": 65})
change = np.where(scan > 0, older - again, 0)
edited = np.clip(scan + change, 0, 1)

fig, axes = plt.subplots(2, 3, figsize=(8, 5.6), layout="constrained")
for row, plane in zip(axes, (np.s_[:, :, 42], np.s_[:, 44])):
    for ax, volume in zip(row, (scan, edited)):
        ax.imshow(volume[plane].T, origin="lower", cmap="gray", vmin=0, vmax=1)
    row[2].imshow(change[plane].T, origin="lower", cmap="RdBu_r", vmin=-0.6, vmax=0.6)
    for ax, title in zip(row, ("scan", "edited", "difference")):
        ax.set_title(title)
        ax.set_axis_off()

###############################################################################
# Red is brighter in the older brain, blue is darker: ventricles and sulci widen. A
# ``strength`` below 1 goes only part of the way to the noise: large structures then
# stay as they are.
#
# A change of nothing gives the scan itself.

same, again = edit_volume(ldm, scan, own, own, steps=4)
print("largest difference of a change of nothing:", abs(same - again).max())

###############################################################################
# The command prepares each scan of a study, adds the difference to it in its own space,
# and writes the map of the difference and a sidecar beside it::
#
#     dipy_edit_mri STUDY --change age=30 --out_dir older
#
# An edit shows what the model has learned of a group. It is no forecast for a person.
#
# References
# ----------
#
# .. footbibliography::
