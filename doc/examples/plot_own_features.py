"""
==============================================
Your own feature extractor in the evaluation
==============================================

Metrics of distribution compare features, and a metric sees what its features see. Any
callable from volumes (n, I, J, K) to features (n, d) can take the place of the default.
Here one looks at sizes, one at brightness; two faults are planted, and each extractor
finds the one that it can see.

Import the metrics and the phantoms. `dipy_synth.metrics.comparison.compare` puts each
metric beside a floor, real against real, and a ceiling, noise.
"""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.metrics.comparison import compare, noise_like
from dipy_synth.phantom import make_phantom

###############################################################################
# An extractor is a function. This one measures extents and the centre of gravity along
# each axis, in voxels.


def sizes(volumes):
    """Extent and spread of each brain along the axes: (n, 6)."""
    features = []
    for volume in volumes:
        places = np.argwhere(volume > 0.1)
        features.append([*np.ptp(places, axis=0), *places.std(axis=0)])
    return np.array(features, float)


###############################################################################
# That one takes quantiles of the intensities inside the brain. A network would do as
# well: ``lambda volumes: network.predict(volumes[..., None])``.


def brightness(volumes):
    """Nine quantiles of the intensities in each brain: (n, 9)."""
    return np.array([np.quantile(v[v > 0], np.linspace(0.1, 0.9, 9)) for v in volumes])


###############################################################################
# Real brains, and synthetic ones with a fault: all of one size, or too bright.

real = np.stack([make_phantom(seed).data for seed in range(24)])
sound = np.stack([make_phantom(seed).data for seed in range(100, 116)])
women = np.stack([make_phantom(s, age=25, sex="F").data for s in range(200, 216)])
bright = sound**0.8
cohorts = {"sound": sound, "young women only": women, "too bright": bright}

fig, axes = plt.subplots(1, 3, figsize=(8, 3.2), layout="constrained")
for ax, (name, volumes) in zip(axes, cohorts.items()):
    ax.imshow(volumes[0][:, :, 22].T, origin="lower", cmap="gray", vmin=0, vmax=1)
    ax.set_title(name)
    ax.set_axis_off()

###############################################################################
# Features are scaled by those of the real brains, since MMD
# :footcite:p:`gretton2012mmd` knows no units. The dashed line is the floor, real
# brains against other real ones. Sizes see that one kind of brain is there alone, and
# not the brightness. Brightness sees both, since tissues change with age, too.

results = {}
for extractor in (sizes, brightness):
    features = extractor(real)
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    noise = (extractor(noise_like(real, 16)) - mean) / std
    for name, volumes in cohorts.items():
        synthetic = (extractor(volumes) - mean) / std
        found = compare((features - mean) / std, synthetic, noise, repeats=50)
        results[extractor.__name__, name] = next(m for m in found if m.name == "mmd")

fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, extractor in zip(axes, (sizes, brightness)):
    metrics = [results[extractor.__name__, name] for name in cohorts]
    ax.bar(list(cohorts), [metric.matched for metric in metrics])
    ax.axhline(metrics[0].floor, color="k", linestyle="--", label="real against real")
    ax.set(title=f"by {extractor.__name__}", ylabel="MMD")
    ax.legend()

###############################################################################
# In a whole evaluation the extractor is an argument; its features are reduced to
# principal components of real brains there::
#
#     from dipy_synth.evaluation import evaluate, load_cohorts
#
#     cohorts = load_cohorts("prepared", "synthetic")
#     evaluation = evaluate(**cohorts, extractor=brightness)
#
# References
# ----------
#
# .. footbibliography::
