"""Presets of networks: arguments, training settings and measured scores.

`PRESETS` is a table of autoencoders: the arguments of `make_autoencoder` but for the
shape, those of `TrainingSettings` that differ from the defaults, the side of training
crops as a fraction of the volume's, and the record of the run that measured it, or "not
yet run". `UNET_PRESETS` is one of U-Nets for latent diffusion, with the arguments of
`UNet`, the noise schedule, and the side of the crops in latent positions, 0 for whole
images.
"""

from dipy_synth.errors import InputError

NOT_YET = "not yet run"
_FINE_TO_COARSE = (63, *[31] * 3, *[15] * 12)
_CODEBOOK = {"name": "vq", "codes": 256, "width": 32}

PRESETS = {
    # brains at 2 mm: PCA of patches, corrected; 16 numbers for 4x4x4 voxels
    "default": {
        "network": {
            "architecture": "patch",
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
            "architecture": "patch",
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

_FLOW = {
    "name": "rectified_flow",
    "prediction": "preconditioned",
    "times": "log_snr",
    "noise_range": (0.05, 20.0),
}

# A U-Net's `unfold` is 2 where the autoencoder has a linear path, else 1.
UNET_PRESETS = {
    # latents of brains at 2 mm, trained on crops of half a side
    "default": {
        "network": {
            "widths": (48, 96, 128),
            "blocks": (1, 2, 2),
            "attention": "none",
        },
        "training": {"epochs": 18, "batch_size": 2, "learning_rate": 6e-4},
        "crop": 16,
        "schedule": _FLOW,
        "command": "dipy_train_ldm PREPARED VQVAE --conditions age sex",
        "hardware": NOT_YET,
        "time": NOT_YET,
        "score": NOT_YET,
    },
    # a cohort of some dozens: fewer weights, less overfitting
    "small": {
        "network": {"widths": (32, 64, 64), "blocks": (1, 2, 2), "attention": "none"},
        "training": {"epochs": 40, "batch_size": 2, "learning_rate": 1e-3},
        "crop": 16,
        "schedule": _FLOW,
        "command": "dipy_train_ldm PREPARED VQVAE --preset small",
        "hardware": NOT_YET,
        "time": NOT_YET,
        "score": NOT_YET,
    },
    # three levels down and up, two residual layers each, as in the project that this
    # one continues, where attention was an option; the widths are new
    "original": {
        "network": {
            "widths": (64, 128, 256),
            "blocks": 2,
            "attention": "none",
            "unfold": 1,
        },
        "training": {"epochs": 100, "batch_size": 2, "learning_rate": 3e-4},
        "crop": 0,
        "schedule": {"name": "discrete_diffusion", "steps": 1000},
        "command": "dipy_train_ldm PREPARED VQVAE --preset original",
        "hardware": NOT_YET,
        "time": NOT_YET,
        "score": NOT_YET,
    },
    # latents of digits, 7x7
    "mnist": {
        "network": {
            "widths": (32, 64),
            "blocks": 2,
            "attention": "coarsest",
            "unfold": 1,
        },
        "training": {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3},
        "crop": 0,
        "schedule": {**_FLOW, "noise_range": (0.02, 5.0)},
        "command": "dipy_train_ldm mnist_10k.npz VQVAE --preset mnist --conditions "
        "label --guide_epochs 0 --precision mixed_bfloat16",
        "hardware": "x86_64, one CPU core, beside other work",
        "time": "27 minutes",
        "score": "FID 6.68 (held-out digits 2.96), Inception Score 9.71 (9.24), 99.2 % "
        "read as requested (98.4 %); 500 samples, 24 steps, guidance 2",
    },
}


def find_preset(name, presets=PRESETS):
    """Return one row of a table.

    Parameters
    ----------
    name : str
        One of the table's rows.
    presets : dict, optional
        `PRESETS` of autoencoders, or `UNET_PRESETS`.

    Returns
    -------
    dict
        ``network``, ``training``, ``crop``, ``command``, ``hardware``, ``time`` and
        ``score``, and of U-Nets ``schedule``.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name not in presets:
        raise InputError(f"preset {name!r}: expected one of {', '.join(presets)}")
    return presets[name]


def unet_arguments(preset, changes=None):
    """Combine the arguments of a U-Net's preset with changes: dict.

    Of other ``widths``, levels beyond those of the preset have as many blocks as its
    last.
    """
    arguments = {**preset["network"], **(changes or {})}
    blocks, levels = preset["network"]["blocks"], len(arguments["widths"])
    if arguments["blocks"] == blocks and not isinstance(blocks, int):
        arguments["blocks"] = (*blocks, *blocks[-1:] * levels)[:levels]
    return arguments
