"""
==============================
Evaluating a synthetic cohort
==============================

Is a cohort noise, like real brains, as diverse, copied? Three synthetic cohorts are
evaluated, of which two have a known fault: one is blurred, one holds copies of training
brains. Phantoms stand for all of them, so that the answers are known beforehand.

Import the phantoms, the evaluation, a blur, and matplotlib for the pictures. A cohort
in memory is a `dipy_synth.evaluation.Volumes`: an array, and the grid on which it lies.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter

from dipy_synth.evaluation import Volumes, evaluate
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom

###############################################################################
# Real brains on which nothing was trained, the training brains of a model, and three
# cohorts that a model might have made.

grid = Grid((40, 48, 40), (4.0, 4.0, 4.0))


def cohort(name, seeds):
    """Make phantoms of some seeds: Volumes."""
    volumes = np.stack([make_phantom(seed).data for seed in seeds])
    return Volumes(volumes, grid, name=name)


real, train = cohort("real", range(24)), cohort("training", range(100, 124))
others = cohort("other phantoms", range(200, 220))
blurred = np.stack([gaussian_filter(volume, 0.7) for volume in others.volumes])
blurred *= others.volumes > 0
noise = np.random.default_rng(0).normal(0, 0.03, (4, *grid.shape))
copies = np.clip(train.volumes[:4] + noise * (train.volumes[:4] > 0), 0, 1)
cohorts = {
    "other phantoms": others,
    "blurred": Volumes(blurred, grid, name="blurred"),
    "four copies": Volumes(
        np.concatenate([others.volumes[4:], copies.astype("float32")]),
        grid,
        name="four copies",
    ),
}

fig, axes = plt.subplots(1, 3, figsize=(8, 3.2), layout="constrained")
for ax, (name, volumes) in zip(axes, cohorts.items()):
    ax.imshow(
        volumes.volumes[-1][:, :, 22].T, origin="lower", cmap="gray", vmin=0, vmax=1
    )
    ax.set_title(name)
    ax.set_axis_off()

###############################################################################
# Evaluate each. Tissues are left out, and intervals are of 8 draws, to be quick. From
# the command line, with what ``dipy_preprocess_t1`` and ``dipy_synth_mri`` wrote, it
# is::
#
#     dipy_evaluate_mri prepared synthetic --out_dir evaluation

evaluations = {
    name: evaluate(real, volumes, train=train, tissues=False, repeats=8)
    for name, volumes in cohorts.items()
}

###############################################################################
# Each question has an answer in words. ``good`` is True, False, or None where too
# little is known.

for name, evaluation in evaluations.items():
    print(name.upper())
    for finding in evaluation.findings:
        print(f"  {finding.good!s:5} {finding}")

###############################################################################
# The numbers behind an answer: the Fréchet distance of the texture of the cortex
# :footcite:p:`konz2024frd`, beside that of other real brains, and how many of the
# volumes are as near to a training brain as copies are, by fingerprints.

fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
texture = [
    next(m for m in next(iter(e.texture.values())) if "cortex" in m.name)
    for e in evaluations.values()
]
axes[0].bar(list(cohorts), [metric.value for metric in texture])
axes[0].axhline(texture[0].floor, color="k", linestyle="--", label="real against real")
axes[0].set(title=texture[0].name, ylabel="distance")
axes[0].legend()
copies = [np.sum(e.copies["fingerprints"].copies) for e in evaluations.values()]
axes[1].bar(list(cohorts), copies)
axes[1].set(title="as near to training brains as copies are", ylabel="volumes")

###############################################################################
# References
# ----------
#
# .. footbibliography::
