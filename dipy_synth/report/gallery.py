"""Pictures of cohorts: mosaics, mean brains, nearest pairs, data of the viewer."""

from html import escape
import math

import numpy as np

from dipy_synth.metrics.array_checks import block_mean
from dipy_synth.report.drawing import PLANES, data_uri, slices_svg
from dipy_synth.utils.montage import mid_slices

POINT = (0.0, -20.0, 8.0)  # mm in MNI space: midline, thalamus, lateral ventricles
SHOWN = 8  # volumes of a cohort in a mosaic
_VIEWED = 2_500_000  # largest number of voxels of a cohort in a page
_LARGEST = 1_500_000  # voxels of one volume in the viewer


def voxel_at(grid, point=POINT):
    """Return the voxel at a world position, within the grid: tuple of int, (3,).

    Parameters
    ----------
    grid : Grid
        The grid.
    point : sequence of float, (3,), optional
        World position in mm.
    """
    found = np.linalg.solve(grid.affine, [*point, 1])[:3].round().astype(int)
    return tuple(int(i) for i in np.clip(found, 0, np.array(grid.shape) - 1))


def evenly_spaced(n, most):
    """Choose up to `most` of n indices, evenly spaced: list of int."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def mosaics(cohorts):
    """Draw evenly spaced volumes of each cohort in three planes.

    Parameters
    ----------
    cohorts : dict of str to Volumes
        Label to volumes, on one grid.

    Returns
    -------
    str
        HTML.
    """
    grid = next(iter(cohorts.values())).grid
    at, parts = voxel_at(grid), []
    world = (grid.affine @ [*at, 1])[:3]
    for number, plane in enumerate(PLANES):
        axis = "xyz"[number]
        rows = "".join(
            _strip(volumes, at, number, f"{plane} planes of {words}")
            for words, volumes in cohorts.items()
        )
        head = f"{plane.capitalize()}, {axis} = {world[number]:g} mm"
        parts.append(f"<h3>{head}</h3>{rows}")
    return "".join(parts)


def _strip(volumes, at, number, label):
    chosen = evenly_spaced(len(volumes), SHOWN)
    planes = [mid_slices(volumes.volumes[i], at)[number] for i in chosen]
    missing = SHOWN - len(planes)
    planes += [np.zeros_like(planes[0])] * missing  # so that all strips have one size
    width, height = _pixel(volumes.grid, number)
    picture = np.hstack(planes)
    rows, columns = picture.shape
    shape = f"{columns * width:g} / {rows * height:g}"
    return (
        f'<img class="mosaic" alt="{escape(label)}" style="aspect-ratio: {shape}" '
        f'src="{data_uri(picture)}">'
    )


def _pixel(grid, number):
    """Return width and height of a pixel of a plane, in mm."""
    x, y, z = grid.voxel_size
    return ((y, z), (x, z), (x, y))[number]


def means_and_stds(cohorts):
    """Draw the mean and the standard deviation of each cohort, on common scales.

    Parameters
    ----------
    cohorts : dict of str to Volumes
        Label to volumes, on one grid.

    Returns
    -------
    str
        HTML.
    """
    grid = next(iter(cohorts.values())).grid
    found = {words: mean_and_std(v.volumes) for words, v in cohorts.items()}
    top = max(np.percentile(std, 99.9) for _, std in found.values()) or 1.0
    parts = []
    for words, (mean, std) in found.items():
        for picture, what in ((mean, "mean"), (std / top, "standard deviation")):
            label = f"{what.capitalize()} of {words}"
            svg = slices_svg(
                picture, None, grid.voxel_size, label=label, at=voxel_at(grid)
            )
            parts.append(f'<figure>{svg}<figcaption class="soft">{escape(label)}')
            parts.append("</figcaption></figure>")
    note = f"Standard deviations: white is {top:.2f} of the range of intensities."
    return f'<div class="pair">{"".join(parts)}</div><p class="soft">{note}</p>'


def mean_and_std(volumes):
    """Compute the mean and the standard deviation of volumes: two ndarrays."""
    mean = volumes.mean(axis=0, dtype="float64")
    squares = sum(np.square(v - mean) for v in volumes) / len(volumes)
    return mean.astype("float32"), np.sqrt(squares).astype("float32")


def neighbor_pairs(audit, samples, train, *, most=8):
    """Draw the samples that are nearest to a training brain, each above it.

    Parameters
    ----------
    audit : CopyAudit
        What was found.
    samples : Volumes
        Synthetic volumes.
    train : Volumes or None
        Training volumes; without them the samples alone are drawn.
    most : int, optional
        Largest number of pairs.

    Returns
    -------
    str
        HTML.
    """
    order = np.argsort(-audit.samples.similarity, kind="stable")[:most]
    pairs = "".join(_pair(audit, samples, train, i) for i in order)
    return f'<div class="cards">{pairs}</div>'


def _pair(audit, samples, train, i):
    grid, name = samples.grid, samples.names[i]
    shown, words = [(samples.volumes[i], name)], ""
    if train is not None:
        index, flipped = int(audit.samples.index[i]), bool(audit.samples.flipped[i])
        nearest = train.volumes[index][::-1] if flipped else train.volumes[index]
        other = f"{train.names[index]}{' mirrored' if flipped else ''}"
        shown.append((nearest, other))
        words = f'<p class="soft">Above the sample, below {escape(other)}.</p>'
    labels = [f"similarity {audit.samples.similarity[i]:.3f}"]
    labels += ["as near as a copy"] if audit.copies[i] else []
    labels += ["flagged"] if audit.flagged[i] else []
    pictures = "".join(
        slices_svg(v, None, grid.voxel_size, label=label, at=voxel_at(grid))
        for v, label in shown
    )
    mark = ' class="outlier"' if audit.flagged[i] else ""
    return (
        f"<article><h3>{escape(name)} <span{mark}>{', '.join(labels)}</span></h3>"
        f"{pictures}{words}</article>"
    )


def sprites(cohorts):
    """Encode volumes as pictures for the viewer.

    Each is one JPEG with all axial slices, rows from front to back, side by side.

    Parameters
    ----------
    cohorts : dict of str to Volumes
        Label to volumes, on one grid.

    Returns
    -------
    str
        HTML: a hidden ``<img class="volume">`` per volume, with data attributes for the
        viewer.
    """
    parts = []
    for words, volumes in cohorts.items():
        size, factor = math.prod(volumes.grid.shape), 1
        while size / factor**3 > _LARGEST:
            factor += 1
        most = int(np.clip(_VIEWED // (size / factor**3), 1, 4))
        for i in evenly_spaced(len(volumes), most):
            volume = block_mean(volumes.volumes[[i]], factor)[0]
            name = f"{words}: {volumes.names[i]}"
            parts.append(_sprite(volume, volumes.grid, factor, words, name))
        mean = block_mean(volumes.volumes.mean(0, dtype="float32")[None], factor)[0]
        name = f"{words}: mean of {len(volumes)}"
        parts.append(_sprite(mean, volumes.grid, factor, words, name))
    return "".join(parts)


def _sprite(volume, grid, factor, words, name):
    i, j, k = volume.shape
    columns = math.ceil(math.sqrt(k))
    rows = math.ceil(k / columns)
    tiles = np.zeros((rows * columns, j, i), "float32")
    tiles[:k] = volume.transpose(2, 1, 0)[:, ::-1]
    picture = tiles.reshape(rows, columns, j, i).swapaxes(1, 2).reshape(rows * j, -1)
    size = " ".join(f"{s * factor:g}" for s in grid.voxel_size)
    origin = " ".join(
        f"{o + (factor - 1) / 2 * s:g}"
        for o, s in zip(grid.affine[:3, 3], grid.voxel_size)
    )
    return (
        f'<img class="volume" hidden alt="" data-side="{escape(words)}" '
        f'data-name="{escape(name)}" data-shape="{i} {j} {k}" data-size="{size}" '
        f'data-origin="{origin}" data-columns="{columns}" src="{data_uri(picture)}">'
    )
