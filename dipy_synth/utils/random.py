"""Streams of random numbers, one for each use, all different.

NumPy drops zeros at the end of a seed: ``default_rng([s, e])``, ``default_rng([s, e,
0])`` and, at s = 0 and e = 0, ``default_rng(0)`` are one stream. So training and
validation could get the same noise. Here a constant of the use is the first word and
the seed, the only one that may be longer than a word, the last.
"""

import operator

import numpy as np

from dipy_synth.errors import InputError

#: Uses of random numbers, and the constant at the start of their seeds.
USES = {
    "pairs: order": 0x0FD3,
    "pairs: training": 0x9A15,
    "pairs: validation": 0x7A1D,
    "latents: views": 0x71E5,
    "denoising errors": 0xE440,
    "samples": 0x5D1B_6F0E_93C2_47A8_B1F4_2C7D_E806_9A35,
    "volumes: order": 0xA0F1,
    "volumes: augmentation": 0xA0F2,
    "autoencoder: first images": 0xA0F3,
    "predictor: first images": 0xA0F4,
    "codebook": 0xA0F5,
    "patches": 0xA0F6,
    "label patches": 0xA0F8,
    "phantom: tumor": 0xA0F7,
    "diagnostics: volumes": 0xB0D1,
    "diagnostics: networks": 0xB0D2,
    "diagnostics: latents": 0xB0D3,
    "diagnostics: autoencoders": 0xB0D4,
    "evaluation: halves": 0xC0E1,
    "comparison: draws": 0xC0E2,
    "comparison: noise": 0xC0E3,
    "classifier: splits": 0xC0E4,
    "classifier: folds": 0xC0E6,
    "conditioning: trend": 0xC0E7,
    "conditioning: shuffles": 0xC0E8,
    "copies: planted": 0xC0E9,
    "copies: chosen": 0xC0EA,
    "distribution: subsets": 0xC0EB,
    "diversity: pairs": 0xC0EC,
    "novelty: halves": 0xC0ED,
    "spectrum: phases": 0xC0EE,
    "anatomy: background": 0xC0EF,
    "evaluation: downstream": 0xC0F0,
    "regions: bootstrap": 0xC0F1,
    "labels: bootstrap": 0xC0F2,
    "evaluation: downstream voxels": 0xC0F3,
}


def random_stream(use, *keys, seed):
    """Make a generator of random numbers for a use, a key of `USES`.

    The integers `keys` distinguish the streams of one use, such as epoch and batch. A
    use always takes the same number of keys.
    """
    numbers = [int(key) for key in keys]
    return np.random.default_rng([USES[use], *numbers, check_seed(seed)])


def check_seed(seed):
    """Check a seed, an integer of 0 or more, and return it as an int."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise InputError(f"seed {seed}: expected an integer, 0 or more")
    return number
