"""Autoencoders that are known to work: networks, how to train them, what they gave.

`PRESETS` is a table: the arguments of `make_autoencoder` but for the shape, those of
`TrainingSettings` that differ from a plain run's, the side of the crops that are
trained on as a share of the volume's, and the record of the run that measured it, or
"not yet run".
"""

from dipy_synth.errors import InputError

NOT_YET = "not yet run"
_FINE_TO_COARSE = (63, *[31] * 3, *[15] * 12)
_CODEBOOK = {"name": "vq", "codes": 256, "width": 32}

PRESETS = {
    # brains at 2 mm: PCA of patches, corrected; 16 numbers for 4x4x4 voxels
    "default": {
        "network": {
            "architecture": "default",
            "channels": (32, 64),
            "blocks": 2,
            "quantizer": {"name": "fsq", "levels": _FINE_TO_COARSE},
            "frequency_weight": 1.0,
        },
        "training": {"epochs": 12, "batch_size": 2, "learning_rate": 5e-4},
        "crop": 0.5,
        "command": "dipy_train_vqvae PREPARED --precision mixed_bfloat16",
        "hardware": "x86_64, 2 CPU cores, shared with other work",
        "time": "34 minutes",
        "score": "PSNR 24.5 dB and SSIM 0.94 in the brain, high-frequency power 0.61 "
        "of real, codes used 100 %, perplexity 63 % of the codebook; 28 held-out "
        "subjects of IXI at 2 mm, 114 trained on",
    },
    # three convolutions and three transposed ones, an eighth of the resolution
    "plain": {
        "network": {
            "architecture": "plain",
            "channels": (32, 64),
            "quantizer": _CODEBOOK,
        },
        "training": {"epochs": 30},
        "crop": 0.5,
        "command": "dipy_train_vqvae PREPARED --preset plain --epochs 6 "
        "--batch_size 2 --learning_rate 5e-4 --precision mixed_bfloat16",
        "hardware": "x86_64, 2 CPU cores",
        "time": "4.8 minutes",
        "score": "PSNR 16.3 dB and SSIM 0.45 in the brain, high-frequency power 0.02 "
        "of real, codes used 100 %, perplexity 80 %; 28 held-out subjects",
    },
    # residual units between strided convolutions, a quarter of the resolution
    "residual": {
        "network": {
            "architecture": "residual",
            "channels": (32, 64),
            "blocks": 1,
            "quantizer": _CODEBOOK,
        },
        "training": {"epochs": 30},
        "crop": 0.5,
        "command": "dipy_train_vqvae PREPARED --preset residual --epochs 3 "
        "--batch_size 2 --learning_rate 5e-4 --precision mixed_bfloat16",
        "hardware": "x86_64, 2 CPU cores",
        "time": "3.4 minutes",
        "score": "PSNR 17.2 dB and SSIM 0.54 in the brain, high-frequency power 0.04 "
        "of real, codes used 100 %, perplexity 91 %; 28 held-out subjects",
    },
    # 128x128x128 at 1 mm: narrower where the resolution is high, to fit in memory
    "128": {
        "network": {
            "architecture": "default",
            "channels": (16, 64),
            "blocks": 1,
            "quantizer": {"name": "fsq", "levels": _FINE_TO_COARSE},
        },
        "training": {"epochs": 30},
        "crop": 0.5,
        "command": "dipy_train_vqvae PREPARED --preset 128",
        "hardware": NOT_YET,
        "time": NOT_YET,
        "score": NOT_YET,
    },
    # digits of 28x28 pixels
    "mnist": {
        "network": {
            "architecture": "residual",
            "channels": (32, 64),
            "blocks": 1,
            "quantizer": {"name": "vq", "codes": 256, "width": 8},
            "background_weight": 1.0,
        },
        "training": {"epochs": 12, "batch_size": 64, "learning_rate": 2e-3},
        "crop": 1,
        "command": "dipy_train_vqvae mnist_10k.npz --preset mnist",
        "hardware": "x86_64, 2 CPU cores, shared with other work",
        "time": "6 minutes",
        "score": "PSNR 23.5 dB, codes used 100 %, perplexity 85 % of the codebook; "
        "2,000 held-out digits",
    },
}


def find_preset(name):
    """Give one row of the table.

    Parameters
    ----------
    name : str
        One of `PRESETS`.

    Returns
    -------
    dict
        ``network``, ``training``, ``crop``, ``command``, ``hardware``, ``time`` and
        ``score``.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
