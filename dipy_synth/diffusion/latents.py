"""The latents of a cohort, encoded once and stored with the run."""

from dataclasses import dataclass
import math

import numpy as np

from dipy_synth.data.augment import flip_left_right, move
from dipy_synth.data.label_table import UNKNOWN
from dipy_synth.diffusion.pairs import MAX_SHIFT
from dipy_synth.utils.files import atomic_path, read_json, write_json
from dipy_synth.utils.progress import progress_bar
from dipy_synth.utils.random import random_stream

_VOXELS = 2**18  # voxels of small images that are encoded at a time
_VIEWS = 10  # views of a training brain


@dataclass(frozen=True)
class Latents:
    """Latents of volumes, which may have several views.

    Attributes
    ----------
    values : ndarray of shape (views * n, *latent_shape), float16
        Memory-mapped; the views of a volume are consecutive. The first is the volume
        itself, the second its mirror image where views are mirrored. The numbers of
        labels are NaN where a volume has no label map.
    shifts : ndarray of shape (views * n, rank), int
        Shift of the volume in voxels.
    subjects : ndarray of shape (views * n,), str
        Subject of the volume.
    unmoved : ndarray of int
        Rows of the views without a shift, mirror images included.
    """

    values: np.ndarray
    shifts: np.ndarray
    subjects: np.ndarray

    @property
    def unmoved(self):
        return np.flatnonzero(~self.shifts.any(axis=1))


def encode_cohort(cohort, vqvae, path, split, *, mirror=True, seed=0):
    """Encode one side of a cohort once, training brains in ten views.

    A brain shifted by part of a patch has other latents. The shift is an input of the
    network and is 0 in sampling, so that the augmentation does not leak into samples
    :footcite:p:`karras2020augmentation`.

    Parameters
    ----------
    cohort : Cohort
        The prepared cohort.
    vqvae : VQVAE
        The autoencoder.
    path : Path
        File of the latents, without suffix; rebuilt for other volumes, other label maps
        or another autoencoder.
    split : {"train", "validation"}
        The side.
    mirror : bool, optional
        Include mirror images, where brains are symmetric.
    seed : int, optional
        Seed of the shifts.

    Returns
    -------
    Latents

    References
    ----------
    .. footbibliography::
    """
    stored, described = path.with_suffix(".npy"), path.with_suffix(".json")
    label_maps = cohort.label_maps() if cohort.label_table else None
    rows = np.flatnonzero(cohort.where(split))
    varied = cohort.symmetric and split == "train"
    mirrored, shifts = _draw_views(
        len(rows), vqvae.network.rank, varied=varied, mirror=mirror, seed=seed
    )
    stamp = {
        "keys": [cohort.keys[row] for row in rows],
        "files": cohort.stamp(),
        "vqvae": vqvae.config["weights_sha256"],
        "mirrored": mirrored.tolist(),
        "shifts": shifts.tolist(),
        **({} if label_maps is None else {"labels": cohort.label_table.to_config()}),
    }
    views = len(shifts) // max(1, len(rows))
    if not (stored.exists() and described.exists() and read_json(described) == stamp):
        described.unlink(missing_ok=True)  # a crash must not leave a valid description
        shape = (len(shifts), *vqvae.network.latent_shape)
        with atomic_path(stored) as temporary:
            out = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            title = {"desc": f"latents ({split})", "unit": "volume"}
            with progress_bar(total=len(rows), **title) as bar:
                for start, block in _blocks(cohort.volumes(), rows):
                    chosen = slice(views * start, views * (start + len(block)))
                    moves = mirrored[chosen], shifts[chosen]
                    maps = None
                    if label_maps is not None:
                        maps = label_maps[rows[start : start + len(block)]]
                        maps = _views(maps, *moves)
                    out[chosen] = _encode(
                        vqvae, _views(block, *moves), maps, len(block)
                    )
                    bar.update(len(block))
            out.flush()
        write_json(described, stamp)
    subjects = np.repeat(np.array(cohort.subjects)[rows], views)
    return Latents(np.load(stored, mmap_mode="r"), shifts, subjects)


def _encode(vqvae, volumes, label_maps, batch_size):
    """Encode volumes; the numbers of unknown labels are NaN."""
    options = {"label_maps": label_maps, "batch_size": batch_size}
    latents = vqvae.encode(volumes, **options)
    if label_maps is not None:
        unknown = (label_maps == UNKNOWN).any(axis=tuple(range(1, label_maps.ndim)))
        latents[unknown, ..., vqvae.network.image_numbers :] = np.nan
    return latents


def conditions_of(latents, schema, rows):
    """Encode the conditions of volumes, repeated for their views.

    Parameters
    ----------
    latents : ndarray of shape (views * n, *latent_shape)
        Latents of n volumes.
    schema : ConditionSchema
        The conditions.
    rows : list of dict of length n
        The volumes' rows of the table.

    Returns
    -------
    ndarray of shape (views * n, n_conditions), float32
    """
    views = len(latents) // max(1, len(rows))
    return np.repeat(schema.encode(rows), views, axis=0)


def encode_volumes(volumes, vqvae, rows, *, label_maps=None):
    """Encode volumes without augmentation.

    Parameters
    ----------
    volumes : ndarray of shape (n, *shape)
        Prepared volumes in [0, 1]; may be memory-mapped.
    vqvae : VQVAE
        The autoencoder.
    rows : ndarray of shape (m,), int
        Indices of the volumes.
    label_maps : ndarray of shape (n, *shape), int, optional
        Their label maps, of a model with labels.

    Returns
    -------
    ndarray of shape (m, *latent_shape), float32
        The numbers of unknown labels are NaN.
    """
    latents = []
    for start, block in _blocks(volumes, rows):
        chosen = rows[start : start + len(block)]
        maps = None if label_maps is None else label_maps[chosen]
        latents.append(_encode(vqvae, block, maps, len(block)))
    return np.concatenate(latents)


def _blocks(volumes, rows):
    """Yield starts and blocks: single brains, or many small images."""
    size = max(1, _VOXELS // math.prod(volumes.shape[1:]))
    for start in range(0, len(rows), size):
        yield start, np.asarray(volumes[rows[start : start + size]], "float32")


def _draw_views(n, rank, *, varied, mirror, seed):
    """Draw the views of n volumes: mirrored (n views,), shifts (n views, rank)."""
    if not varied:
        return np.zeros(n, bool), np.zeros((n, rank), int)
    rng = random_stream("latents: views", seed=seed)
    shifts = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, (n, _VIEWS, rank))
    shifts[:, : 1 + mirror] = 0
    mirrored = rng.random((n, _VIEWS)) < 0.5
    mirrored[:, 0], mirrored[:, 1] = False, True
    return mirrored.ravel() & mirror, shifts.reshape(-1, rank)


def _views(volumes, mirrored, shifts):
    """Mirror and shift volumes: ndarray of shape (n views, *shape)."""
    seen = np.repeat(volumes, len(shifts) // len(volumes), axis=0)
    return np.stack(
        [
            move(flip_left_right(v) if flip else v, shift)
            for v, flip, shift in zip(seen, mirrored, shifts)
        ]
    )
