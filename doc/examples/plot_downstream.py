"""
==============================
Is a synthetic cohort of use?
==============================

A cohort can look right and still teach nothing. So a predictor of age is trained on
real brains, on synthetic ones, and on both, and tested on real brains that it has not
seen :footcite:p:`esteban2017rcgan`. Phantoms stand for all brains here, so that the
answers are known: one synthetic cohort follows the ages that were requested, the other
does not.

Import the comparison, the phantoms, and matplotlib for the pictures. A cohort in memory
is a `dipy_synth.evaluation.Volumes`: an array, its grid, and a row of covariates for
each brain.
"""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.evaluation import Volumes
from dipy_synth.evaluation.downstream import compare_downstream, in_words
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom

###############################################################################
# Few real brains to train on, many to test with. The ventricles of phantoms grow with
# age.

grid = Grid((40, 48, 40), (4.0, 4.0, 4.0))
rng = np.random.default_rng(0)


def cohort(name, n, first_seed):
    """Make phantoms of random ages: Volumes."""
    ages = rng.uniform(20, 80, n).round(1)
    brains = [make_phantom(first_seed + i, age=age).data for i, age in enumerate(ages)]
    rows = tuple({"age": age} for age in ages)
    return Volumes(np.stack(brains), grid, name=name, rows=rows)


train, real = cohort("training", 12, 0), cohort("held out", 40, 100)
follows = cohort("follows the age", 60, 200)
shuffled = Volumes(
    follows.volumes,
    grid,
    name="does not follow it",
    rows=tuple(follows.rows[i] for i in rng.permutation(60)),
)

fig, axes = plt.subplots(1, 4, figsize=(9, 3.1), layout="constrained")
for ax, i in zip(axes, np.argsort([row["age"] for row in follows.rows])[::19]):
    ax.imshow(
        follows.volumes[i][:, :, 22].T, origin="lower", cmap="gray", vmin=0, vmax=1
    )
    ax.set_title(f"age {follows.rows[i]['age']:.0f}")
    ax.set_axis_off()

###############################################################################
# Compare. The predictor is ridge regression on voxels of 8 mm. There is a result for
# each task, here age alone: cohorts with label maps have a second. From the command
# line, with what ``dipy_preprocess_t1`` and ``dipy_synth_mri`` wrote, it is::
#
#     dipy_evaluate_mri prepared synthetic --downstream --out_dir evaluation

results = {
    cohort.name: compare_downstream(real, cohort, train)[0]
    for cohort in (follows, shuffled)
}
for name, result in results.items():
    print(f"{name.upper()}: {in_words(result)}.")

###############################################################################
# The errors on held-out brains, with intervals of 95 %. The dashed line is the error of
# one age for all. Whether both are better than real brains alone is tested brain by
# brain, so it can be clear though intervals overlap.

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for ax, (name, result) in zip(axes, results.items()):
    errors = [arm.score for arm in result.arms]
    limits = np.transpose([arm.interval for arm in result.arms])
    ax.bar(
        [f"{arm.trained_on}\n(n {arm.n})" for arm in result.arms],
        errors,
        yerr=abs(limits - errors),
        capsize=4,
    )
    ax.axhline(result.baseline, color="k", linestyle="--", label="the mean age")
    ax.set_title(f"synthetic cohort that {name}", fontsize=10)
axes[0].set_ylabel("error of age, years")
axes[0].legend()

###############################################################################
# What would more real brains give? As a ceiling, half of the real training brains are
# joined by synthetic ones, or by as many of the other half.

for name, result in results.items():
    more = result.ceiling
    print(f"{more.more} more that {name}: {more.gain:+.2f} years saved", end=", ")
    print(f"{more.more} more real ones: {more.real_gain:+.2f}")

###############################################################################
# The answer is of this predictor and of these brains: another task may gain more, or
# less.
#
# References
# ----------
#
# .. footbibliography::
