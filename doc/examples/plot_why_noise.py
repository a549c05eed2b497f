"""
====================================
Why a latent diffusion gives noise
====================================

A latent diffusion model can be trained to a low loss and give pure noise, without an
error anywhere. Here a small model of slices is trained soundly, then faults are planted
that are common in practice, and the diagnostics find each. It takes three to four
minutes.

Import the models, the phantoms and the diagnostics, and matplotlib for the pictures.
"""

from pathlib import Path
import tempfile

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.diagnostics import DiagnosticContext, run_checks, text_table
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.phantom import make_phantom
from dipy_synth.training import TrainingSettings

###############################################################################
# The first cause needs no training to be seen. With the usual linear betas
# :footcite:p:`ho2020ddpm` a short chain never reaches noise
# :footcite:p:`lin2024flawed`: its sampler starts from noise that the network has never
# seen.

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
t = np.linspace(0.001, 1, 200)
for steps in (200, 300, 1000):
    schedule = DiscreteDiffusion(steps=steps)
    ax.plot(t, schedule.alpha(t) ** 2, label=f"chain of {steps} steps")
    print(f"{steps} steps: {schedule.alpha(1.0) ** 2:.4f} of the image's power is left")
flow = RectifiedFlow()
ax.plot(t, flow.alpha(t) ** 2, "k--", label="flow")
ax.set(xlabel="time", ylabel="power of the image", yscale="log", ylim=(1e-5, 1.5))
ax.legend()

###############################################################################
# Train a small model on axial slices of phantoms: 160 images of 48 x 40 pixels.

work = Path(tempfile.mkdtemp())
slices = [
    make_phantom(seed).data[:, :, level]
    for seed in range(40)
    for level in (18, 21, 24, 27)
]
images = np.round(255 * np.stack(slices)).astype(np.uint8)
np.savez(work / "slices.npz", images=images)
cohort = ArrayCohort.load(work / "slices.npz")

vqvae = VQVAE(None)
vqvae.fit(
    cohort,
    run_dir=work / "vqvae",
    settings=TrainingSettings(epochs=20, batch_size=16, learning_rate=2e-3),
    preset="default",
    network={"channels": (16, 32), "blocks": 1},
    crop=1,
)
LDM(None).fit(
    cohort,
    vqvae,
    run_dir=work / "ldm",
    settings=TrainingSettings(epochs=50, batch_size=32, learning_rate=3e-3),
    preset="mnist",
    network={"widths": (16, 32)},
)

###############################################################################
# Plant two faults in copies of the model, as they happen in practice. A scale that was
# used in training and is forgotten in sampling, or the other way round: latents that
# are not normalised. And weights that were hardly trained.

sound = LDM(work / "ldm")
forgotten, untrained = LDM(work / "ldm"), LDM(work / "ldm")
here = sound.normalizer
forgotten.normalizer = LatentNormalizer(here.mean, here.matrix / 3, here.variance)
rng = np.random.default_rng(0)
untrained.network.set_weights(
    [
        w + 0.2 * rng.standard_normal(w.shape).astype(w.dtype)
        for w in untrained.network.get_weights()
    ]
)
models = {"sound": sound, "scale forgotten": forgotten, "untrained": untrained}

fig, axes = plt.subplots(3, 6, figsize=(8, 5.2), layout="constrained")
for row, (name, model) in zip(axes, models.items()):
    row[0].set_title(name, loc="left")
    for ax, image in zip(row, model.generate(6, seed=0, steps=24, batch_size=6)):
        ax.imshow(image.T, origin="lower", cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()

###############################################################################
# Run the diagnostics on each. Of a model in a folder it is the command::
#
#     dipy_synth_doctor ldm --prepared slices.npz --vqvae vqvae --out_dir doctor

train, held_out = (
    np.asarray(cohort.volumes(side), "float32") for side in ("train", "validation")
)
found = {}
for name, model in models.items():
    context = DiagnosticContext(
        model,
        latents=vqvae.encode(train, batch_size=32),
        held_out=vqvae.encode(held_out, batch_size=32),
        volumes=held_out,
    )
    found[name] = run_checks(context, quick=True)
print("\n".join(text_table(found["scale forgotten"])))

###############################################################################
# All verdicts beside each other: which check sees which fault.

colors = {"pass": "tab:green", "warn": "tab:orange", "fail": "tab:red"}
names = [result.name for result in found["sound"]]
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for x, results in enumerate(found.values()):
    for y, result in enumerate(results):
        color = colors.get(result.verdict, "0.85")
        ax.scatter(x, y, s=120, marker="s", color=color)
        ax.text(x + 0.06, y, result.verdict, va="center", fontsize=8)
ax.set_xticks(range(len(found)), list(found))
ax.set_yticks(range(len(names)), names)
ax.set_xlim(-0.3, len(found) - 0.4)
ax.invert_yaxis()

###############################################################################
# The evidence for the denoiser: its error on held-out images as a share of what a
# Wiener filter leaves. 1 is a network that adds nothing to a linear filter.

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for name, results in found.items():
    check = next(r for r in results if r.name == "denoising, held-out")
    ax.plot(check.values["noise_to_signal"], check.values["ratios"], "o-", label=name)
ax.axhline(1, color="k", linewidth=0.8)
ax.set(xlabel="noise, of the signal", ylabel="error, of a Wiener filter's")
ax.set(xscale="log", yscale="log")
ax.legend()

###############################################################################
# Mend from above downwards: one fault causes others.
#
# References
# ----------
#
# .. footbibliography::
