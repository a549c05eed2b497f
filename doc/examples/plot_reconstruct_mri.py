"""
====================================
Reconstructing a brain with a VQ-VAE
====================================

An autoencoder brings a brain to a small grid of discrete latents and back [1]_. What it
loses on the way, no brain generated in those latents can have: so this is what to look
at first.

"""

import matplotlib.pyplot as plt

from dipy_synth.data.align import load_template
from dipy_synth.data.preprocess import prepare_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.metrics.similarity import psnr
from dipy_synth.nn.vqvae import VQVAE

###############################################################################
# The weights come with the package. They were trained on brains at 2 mm; the grid is
# kept with them.

vqvae = VQVAE()

###############################################################################
# The brain of the MNI152 template is an average of many: smoother than any brain the
# network was trained on, and larger than most.

data, affine = load_template()
prepared = prepare_t1(
    data, affine, preprocessing=PreprocessConfig(bias=False, grid=vqvae.grid)
)

###############################################################################
# The latents are 20 x 24 x 20 positions of 16 numbers, each rounded to a few levels.

latents = vqvae.encode(prepared.data[None])
print(prepared.data.size, "voxels to", latents.size, "numbers")

reconstructed = vqvae.reconstruct(prepared.data)
score = psnr(prepared.data, reconstructed, mask=prepared.mask)
print(f"PSNR inside the brain: {score:.1f} dB")

fig, axes = plt.subplots(1, 3, figsize=(9, 3.6), layout="constrained")
middle = prepared.data.shape[2] // 2
difference = abs(prepared.data - reconstructed)
for ax, volume, title in zip(
    axes,
    (prepared.data, reconstructed, difference),
    ("original", "reconstructed", "difference"),
):
    ax.imshow(volume[:, :, middle].T, origin="lower", cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()

###############################################################################
# ``predict`` does all of this with a scan: it prepares it, encodes and decodes it, and
# brings it back to the voxels of the scan.

native = vqvae.predict(data, affine)
print(native.shape == data.shape)

###############################################################################
# References
# ----------
#
# .. [1] van den Oord et al., "Neural discrete representation learning", NeurIPS 2017.
