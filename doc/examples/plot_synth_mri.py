"""
=========================
Generating brains
=========================

A latent diffusion model [1]_ turns noise into latents, and the autoencoder turns those
into brains. The bundled model was trained on few subjects for a short time; its card
says what that means, metric by metric.

"""

import matplotlib.pyplot as plt
import nibabel as nib

from dipy_synth.nn.ldm import LDM

###############################################################################
# The model knows its grid, the conditions it was trained with and their ranges.

ldm = LDM()
for column in ldm.schema.columns:
    print(column.name, column.categories or (column.low, column.high))

###############################################################################
# The same noise with another age: sample 0 of seed 1, twice. Sample ``i`` of a seed
# does not depend on how many there are.

volumes = ldm.generate(
    seed=1,
    numbers=[0, 0],
    conditions=[{"age": 25, "sex": "F"}, {"age": 80, "sex": "F"}],
)

fig, axes = plt.subplots(1, 2, figsize=(7, 4), layout="constrained")
for ax, volume, title in zip(axes, volumes, ("age 25", "age 80")):
    ax.imshow(volume[:, :, 40].T, origin="lower", cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()

###############################################################################
# The volumes lie in MNI space, and nibabel writes them.

image = nib.Nifti1Image(volumes[0], ldm.affine)
print(image.shape, nib.aff2axcodes(image.affine))

###############################################################################
# A cohort with sidecars, tables and a picture is one command::
#
#     dipy_synth_mri --n_samples 100 --conditions age=70 sex=F --out_dir cohort
#
# One that matches a real cohort subject by subject, and one that goes through ages with
# the same noise::
#
#     dipy_synth_mri --participants study/participants.tsv --out_dir matched
#     dipy_synth_mri --sweep age=25:75:6 --n_samples 3 --out_dir ages
#
# References
# ----------
#
# .. [1] Rombach et al., "High-resolution image synthesis with latent diffusion models",
#    CVPR 2022.
