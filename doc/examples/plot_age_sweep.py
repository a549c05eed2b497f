"""
==============================
A sweep of age
==============================

One noise, several ages: what differs between the brains is what the model has learned
of age. A network that predicts age from a brain says whether they follow the request.

Import the model, the network that reads ages, and matplotlib for the pictures.
"""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor

###############################################################################
# The bundled model was trained with age and sex as conditions. Equal ``numbers`` start
# from the same noise; here are two samples at three ages each.

ldm = LDM()
ages = [25, 45, 65]
volumes = np.stack(
    [
        ldm.generate(
            seed=0,
            numbers=[number] * len(ages),
            conditions=[{"age": age, "sex": "F"} for age in ages],
            batch_size=len(ages),
        )
        for number in (0, 1)
    ]
)

fig, axes = plt.subplots(2, len(ages), figsize=(7, 5.4), layout="constrained")
for row, sample in zip(axes, volumes):
    for ax, volume, age in zip(row, sample, ages):
        ax.imshow(volume[:, :, 42].T, origin="lower", cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"age {age}")
        ax.set_axis_off()

###############################################################################
# The difference between the oldest and the youngest, of the same noise: red is brighter
# in the older brain, blue is darker. Ventricles and sulci widen.

fig, axes = plt.subplots(1, 2, figsize=(6, 3.6), layout="constrained")
for ax, sample in zip(axes, volumes):
    difference = (sample[-1] - sample[0])[:, :, 42].T
    ax.imshow(difference, origin="lower", cmap="RdBu_r", vmin=-0.7, vmax=0.7)
    ax.set_title(f"{ages[-1]} minus {ages[0]}")
    ax.set_axis_off()

###############################################################################
# Read the ages back. The predictor was trained on real brains alone; its card says how
# well it reads those.

predictor = CovariatePredictor()
read = [predictor.predict(sample)["age"] for sample in volumes]

fig, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.plot([20, 80], [20, 80], color="gray", linewidth=0.8, label="as requested")
for number, values in enumerate(read):
    ax.plot(ages, values, marker="o", label=f"sample {number}")
ax.set(xlabel="requested age", ylabel="predicted age", aspect="equal")
ax.legend()

###############################################################################
# The command for a cohort like this one, with sidecars and tables, is::
#
#     dipy_synth_mri --sweep age=25:65:3 --conditions sex=F --n_samples 2 --out_dir ages
#
# Guidance :footcite:p:`ho2022guidance` makes ages plainer: ``--guidance 3``.
#
# References
# ----------
#
# .. footbibliography::
