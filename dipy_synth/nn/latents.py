"""The latents of a cohort, encoded once and kept with the run."""

import math

import numpy as np
from tqdm import tqdm

from dipy_synth.data.augment import flip_left_right
from dipy_synth.files import atomic_path, read_json, write_json

_VOXELS = 2**18  # encoded at a time, where images are small


def encoded(cohort, vqvae, path, split):
    """Encode one side of a cohort once, training brains flipped too.

    Parameters
    ----------
    cohort : Cohort
        The prepared cohort.
    vqvae : VQVAE
        The autoencoder.
    path : Path
        Where the latents are kept, without suffix; made anew when they are those of
        other volumes or of another autoencoder.
    split : {"train", "validation"}
        The side.

    Returns
    -------
    ndarray (n, *latent_shape), float32
        Memory-mapped. Of training brains, row ``2 i`` is volume i and row ``2 i + 1``
        its mirror image; other images have a row each.
    """
    stored, told = path.with_suffix(".npy"), path.with_suffix(".json")
    keys = [key for key, kept in zip(cohort.keys, cohort.where(split)) if kept]
    stamp = {
        "keys": keys,
        "files": cohort.stamp(),
        "vqvae": vqvae.config["weights_sha256"],
    }
    if not (stored.exists() and told.exists() and read_json(told) == stamp):
        told.unlink(missing_ok=True)  # a crash between the two must not fit them
        with atomic_path(stored) as temporary:
            volumes = cohort.volumes(split)
            mirrored = cohort.symmetric and split == "train"
            title = f"latents ({split})"
            latents = encode_all(volumes, vqvae, mirrored=mirrored, title=title)
            np.save(temporary, latents)
        write_json(told, stamp)
    return np.load(stored, mmap_mode="r")


def encode_all(volumes, vqvae, *, mirrored=False, title="latents"):
    """Encode in blocks: one brain at a time, many small images at once.

    Parameters
    ----------
    volumes : array (n, *shape)
        Prepared volumes in [0, 1].
    vqvae : VQVAE
        The autoencoder.
    mirrored : bool, optional
        Encode each volume's mirror image after it.
    title : str, optional
        What the progress bar says.

    Returns
    -------
    ndarray (n or 2 n, *latent_shape), float32
    """
    size = max(1, _VOXELS // math.prod(volumes.shape[1:]))
    latents = [np.zeros((0, *vqvae.network.latent_shape), "float32")]
    with tqdm(total=len(volumes), desc=title, unit="volume") as bar:
        for start in range(0, len(volumes), size):
            block = np.asarray(volumes[start : start + size], "float32")
            views = _with_mirror_images(block) if mirrored else block
            latents.append(vqvae.encode(views, batch_size=size))
            bar.update(len(block))
    return np.concatenate(latents)


def _with_mirror_images(volumes):
    """Put each volume's mirror image after it."""
    return np.stack([view for v in volumes for view in (v, flip_left_right(v))])
