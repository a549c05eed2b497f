"""
==============================
Digits: the same in 2D
==============================

All networks work in two dimensions, too. A small model of handwritten digits comes with
the package: it samples in a moment, and everybody can see whether a 3 is a 3.

Import the model and matplotlib for the pictures.
"""

import matplotlib.pyplot as plt
import numpy as np

from dipy_synth.nn.ldm import LDM

###############################################################################
# Its one condition is the class, ``label``. The background of digits is no brain's:
# there is no grid, and images lie nowhere in space.

ldm = LDM("mnist")
print([column.name for column in ldm.schema.columns], ldm.config["grid"])


def show(images, columns, titles=None):
    """Show images in rows of some columns."""
    rows = -(-len(images) // columns)
    size = (0.8 * columns, 0.9 * rows)
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for i, image in enumerate(images):
        axes.flat[i].imshow(image, cmap="gray", vmin=0, vmax=1)
        if titles is not None:
            axes.flat[i].set_title(titles[i], fontsize=8)


###############################################################################
# Each class from the same three noises: a column is a class, a row a noise. Slant and
# thickness are mostly decided by the noise, the class by the condition.

rows = [
    ldm.generate(
        seed=0,
        numbers=[number] * 10,
        conditions=[{"label": label} for label in range(10)],
        batch_size=10,
    )
    for number in range(3)
]
show(np.concatenate(rows), 10)

###############################################################################
# Guidance :footcite:p:`ho2022guidance` weighs the class. With 0 it is not requested, 1
# is the model's own estimate; with more the digits are plainer and more alike.

weights = [0, 1, 2, 5]
threes = [
    ldm.generate(6, seed=2, conditions={"label": 3}, guidance=weight, batch_size=6)
    for weight in weights
]
show(
    np.concatenate(threes),
    6,
    titles=[f"guidance {w}" if not i else "" for w in weights for i in range(6)],
)

###############################################################################
# What the sampler expects on its way: the estimate of the clean image after each step,
# from noise on.

image, states = ldm.generate(
    1, seed=3, conditions={"label": 8}, steps=12, return_states=True
)
show(states[0], 12, titles=[f"{i + 1}" for i in range(12)])

###############################################################################
# Sixteen digits in one file, with their labels, by the command::
#
#     dipy_synth_mri --model mnist --n_samples 16 --conditions label=3 --out_dir threes
#
# Train your own on MNIST, or on any images in one ``.npz`` file::
#
#     dipy_train_vqvae digits.npz --preset mnist --out_dir vqvae
#     dipy_train_ldm digits.npz vqvae --preset mnist --conditions label --out_dir ldm
#
# References
# ----------
#
# .. footbibliography::
