"""The latents of a cohort, encoded once and kept with the run."""

import math

import numpy as np
from tqdm import tqdm

from dipy_synth.data.augment import flip_left_right, move
from dipy_synth.data.laterality import mirror_conditions
from dipy_synth.utils.files import atomic_path, read_json, write_json

_VOXELS = 2**18  # encoded at a time, where images are small
_VIEWS = 4  # of a training brain


def encoded(cohort, vqvae, path, split):
    """Encode one side of a cohort once, training brains in four views.

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
        Memory-mapped. Of training brains, rows ``4 i`` to ``4 i + 3`` are volume i, its
        mirror image, and both moved by up to a voxel; other images have a row each.
    """
    stored, told = path.with_suffix(".npy"), path.with_suffix(".json")
    keys = [key for key, kept in zip(cohort.keys, cohort.where(split)) if kept]
    stamp = {
        "keys": keys,
        "files": cohort.stamp(),
        "vqvae": vqvae.config["weights_sha256"],
        "views": _VIEWS,
    }
    if not (stored.exists() and told.exists() and read_json(told) == stamp):
        told.unlink(missing_ok=True)  # a crash between the two must not fit them
        varied = cohort.symmetric and split == "train"
        rows = np.flatnonzero(cohort.where(split))
        shape = (len(rows) * (_VIEWS if varied else 1), *vqvae.network.latent_shape)
        with atomic_path(stored) as temporary:
            out = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
            encode_all(
                cohort.volumes(),
                vqvae,
                rows=rows,
                varied=varied,
                title=f"latents ({split})",
                out=out,
            )
            out.flush()
        write_json(told, stamp)
    return np.load(stored, mmap_mode="r")


def encode_all(volumes, vqvae, *, rows=None, varied=False, title="latents", out=None):
    """Encode in blocks: one brain at a time, many small images at once.

    Parameters
    ----------
    volumes : array (n, *shape)
        Prepared volumes in [0, 1]; may be memory-mapped.
    vqvae : VQVAE
        The autoencoder.
    rows : array of int (m,), optional
        Which of them; all by default.
    varied : bool, optional
        Encode each volume in four views, as `encoded` does training brains.
    title : str, optional
        What the progress bar says.
    out : array (m or 4 m, *latent_shape), optional
        Filled and given back: latents of a large cohort may lie in a file.

    Returns
    -------
    array (m or 4 m, *latent_shape), float32
    """
    rows = np.arange(len(volumes)) if rows is None else rows
    views = _VIEWS if varied else 1
    if out is None:
        out = np.empty((views * len(rows), *vqvae.network.latent_shape), "float32")
    size = max(1, _VOXELS // math.prod(volumes.shape[1:]))
    rng = np.random.default_rng(0)
    with tqdm(total=len(rows), desc=title, unit="volume") as bar:
        for start in range(0, len(rows), size):
            block = np.asarray(volumes[rows[start : start + size]], "float32")
            seen = [w for v in block for w in _views(v, rng)] if varied else block
            end = views * (start + len(block))
            latents = vqvae.encode(np.stack(seen), batch_size=size)
            out[views * start : end] = latents
            bar.update(len(block))
    return out


def conditions_of(latents, schema, rows):
    """Give the conditions of latents that `encoded` made.

    Parameters
    ----------
    latents : array (n, *latent_shape) or (4 n, *latent_shape)
        The latents of n volumes.
    schema : ConditionSchema
        The conditions.
    rows : list of dict, (n,)
        The volumes' rows of the table.

    Returns
    -------
    ndarray (n or 4 n, n_conditions), float32
        Mirror images are on the other side, where a condition names one.
    """
    conditions = schema.encode(rows)
    if len(latents) == len(rows):
        return conditions
    pairs = np.stack([conditions, mirror_conditions(conditions, schema)], axis=1)
    return np.tile(pairs, (1, _VIEWS // 2, 1)).reshape(len(latents), -1)


def _views(volume, rng):
    """Give a training brain four times: itself, moved by up to a voxel, both mirrored.

    Moved by a fraction of its patches a brain has other latents, which a network
    cannot tell from those of another brain.
    """
    moved = move(volume, rng.integers(-1, 2, volume.ndim))
    return [view for v in (volume, moved) for view in (v, flip_left_right(v))]
