"""The latents of a cohort, encoded once and kept with the run."""

import numpy as np
from tqdm import tqdm

from dipy_synth.data.augment import flip_left_right
from dipy_synth.files import atomic_path, read_json, write_json


def encoded(cohort, vqvae, path, split):
    """Encode one side of a cohort once, training volumes flipped too.

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
        Memory-mapped. Of the training volumes, row ``2 i`` is volume i and row
        ``2 i + 1`` its mirror image.
    """
    stored, told = path.with_suffix(".npy"), path.with_suffix(".json")
    keys = [key for key, kept in zip(cohort.keys, cohort.where(split)) if kept]
    stamp = {"keys": keys, "vqvae": vqvae.config["weights_sha256"]}
    if not (stored.exists() and told.exists() and read_json(told) == stamp):
        with atomic_path(stored) as temporary:
            np.save(temporary, _encode(cohort.volumes(split), vqvae, split))
        write_json(told, stamp)
    return np.load(stored, mmap_mode="r")


def _encode(volumes, vqvae, split):
    latents = []
    for volume in tqdm(volumes, desc=f"latents ({split})", unit="volume"):
        volume = np.asarray(volume, "float32")
        views = [volume, flip_left_right(volume)] if split == "train" else [volume]
        latents.append(vqvae.encode(np.stack(views)))
    shape = (0, *vqvae.network.latent_shape)
    return np.concatenate(latents) if latents else np.zeros(shape, "float32")
