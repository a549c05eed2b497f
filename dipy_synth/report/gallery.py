"""Pictures of cohorts: mosaics, mean brains, nearest pairs, data of the viewer."""

import math

import numpy as np

from dipy_synth.metrics.array_checks import block_mean
from dipy_synth.report.drawing import PLANES, data_uri, pixels, slices
from dipy_synth.utils.montage import mid_slices

POINT = (0.0, -20.0, 8.0)  # mm in MNI space: midline, thalamus, lateral ventricles
SHOWN = 8  # volumes of a cohort in a mosaic
_PAIRS = 8  # nearest pairs
_VIEWED = 2_500_000  # largest number of voxels of a cohort in a page
_LARGEST = 1_500_000  # voxels of one volume in the viewer


def voxel_at(grid, point=POINT):
    """Return the voxel at a world position in mm, within the grid: (3,), int."""
    found = np.linalg.solve(grid.affine, [*point, 1])[:3].round().astype(int)
    return tuple(int(i) for i in np.clip(found, 0, np.array(grid.shape) - 1))


def evenly_spaced(n, most):
    """Choose up to `most` of n indices, evenly spaced: list of int."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def mosaics(cohorts):
    """Draw evenly spaced volumes of each cohort, by label, in three planes.

    Yield the heading of each plane, and one picture per cohort: ``label``, ``shape``
    (width over height) and ``data``.
    """
    grid = next(iter(cohorts.values())).grid
    at = voxel_at(grid)
    world = (grid.affine @ [*at, 1])[:3]
    for number, plane in enumerate(PLANES):
        heading = f"{plane.capitalize()}, {'xyz'[number]} = {world[number]:g} mm"
        yield (
            heading,
            [
                {"label": f"{plane} planes of {words}", **_row(volumes, at, number)}
                for words, volumes in cohorts.items()
            ],
        )


def _row(volumes, at, number):
    """Draw one plane of evenly spaced volumes, side by side."""
    chosen = evenly_spaced(len(volumes), SHOWN)
    planes = [mid_slices(volumes.volumes[i], at)[number] for i in chosen]
    missing = SHOWN - len(planes)
    picture = np.hstack(planes + [np.zeros_like(planes[0])] * missing)  # one size
    wide, high = pixels(volumes.grid.voxel_size)[number]
    shape = f"{picture.shape[1] * wide:g} / {picture.shape[0] * high:g}"
    return {"shape": shape, "data": data_uri(picture)}


def means_and_stds(cohorts):
    """Draw the mean and the standard deviation of each cohort, on common scales.

    Return pictures of `dipy_synth.report.drawing.slices`, and the standard deviation
    that is drawn white.
    """
    found = {words: mean_and_std(v.volumes) for words, v in cohorts.items()}
    top = max(np.percentile(std, 99.9) for _, std in found.values()) or 1.0
    pictures = [
        _planes(picture, cohorts[words].grid, f"{what} of {words}")
        for words, (mean, std) in found.items()
        for picture, what in ((mean, "Mean"), (std / top, "Standard deviation"))
    ]
    return pictures, top


def _planes(volume, grid, label, *, mirrored=False):
    size, at = grid.voxel_size, voxel_at(grid)
    return slices(volume, None, size, label=label, at=at, mirrored=mirrored)


def mean_and_std(volumes):
    """Compute the mean and the standard deviation of volumes: two ndarrays."""
    mean = volumes.mean(axis=0, dtype="float64")
    squares = sum(np.square(v - mean) for v in volumes) / len(volumes)
    return mean.astype("float32"), np.sqrt(squares).astype("float32")


def neighbor_pairs(audit, samples, train):
    """Draw the 8 samples that are nearest to a training brain, each above it.

    Without training volumes the samples alone are drawn. Yield ``name``,
    ``similarity``, ``is_copy``, ``flagged``, ``pictures`` and ``nearest``, the name of
    the training brain or "".
    """
    for i in np.argsort(-audit.samples.similarity, kind="stable")[:_PAIRS]:
        name, nearest = samples.names[i], ""
        pictures = [_planes(samples.volumes[i], samples.grid, name)]
        if train is not None:
            index, mirrored = (
                int(audit.samples.index[i]),
                bool(audit.samples.flipped[i]),
            )
            brain = train.volumes[index][::-1] if mirrored else train.volumes[index]
            nearest = f"{train.names[index]}{' mirrored' if mirrored else ''}"
            pictures.append(_planes(brain, samples.grid, nearest, mirrored=mirrored))
        yield {
            "name": name,
            "similarity": audit.samples.similarity[i],
            "is_copy": audit.copies[i],
            "flagged": audit.flagged[i],
            "pictures": pictures,
            "nearest": nearest,
        }


def sprites(cohorts):
    """Encode volumes of each cohort, by label, as pictures for the viewer.

    Each is one JPEG with all axial slices, rows from front to back, side by side. Yield
    the attributes of an ``<img class="volume">``: ``side``, ``name``, ``shape``,
    ``size``, ``origin``, ``columns`` and ``data``.
    """
    for words, volumes in cohorts.items():
        size, factor = math.prod(volumes.grid.shape), 1
        while size / factor**3 > _LARGEST:
            factor += 1
        most = int(np.clip(_VIEWED // (size / factor**3), 1, 4))
        shown = {
            volumes.names[i]: volumes.volumes[i]
            for i in evenly_spaced(len(volumes), most)
        }
        shown[f"mean of {len(volumes)}"] = volumes.volumes.mean(0, dtype="float32")
        for name, volume in shown.items():
            tiles = _tiles(block_mean(volume[None], factor)[0], volumes.grid, factor)
            yield {"side": words, "name": f"{words}: {name}", **tiles}


def _tiles(volume, grid, factor):
    i, j, k = volume.shape
    columns = math.ceil(math.sqrt(k))
    rows = math.ceil(k / columns)
    tiles = np.zeros((rows * columns, j, i), "float32")
    tiles[:k] = volume.transpose(2, 1, 0)[:, ::-1]
    picture = tiles.reshape(rows, columns, j, i).swapaxes(1, 2).reshape(rows * j, -1)
    size, first = np.array(grid.voxel_size), grid.affine[:3, 3]
    return {
        "shape": f"{i} {j} {k}",
        "size": " ".join(f"{s:g}" for s in size * factor),
        "origin": " ".join(f"{o:g}" for o in first + (factor - 1) / 2 * size),
        "columns": columns,
        "data": data_uri(picture),
    }
