"""Montages of the mid-slices of volumes."""

import numpy as np

from dipy_synth.utils.files import atomic_path

_ZOOM, _MARGIN, _DPI = 2, 18, 100  # pixels a voxel, pixels for a line, per inch


def mid_slices(volume, at=None):
    """Extract the orthogonal slices through a voxel, by default the middle.

    Parameters
    ----------
    volume : array of shape (*shape)
        An image of rank 2, or a volume in RAS.
    at : sequence of int, (3,), optional
        Voxel in all three slices.

    Returns
    -------
    list of ndarray
        Rows run from top to bottom. Of a volume the sagittal, coronal and axial
        plane, with anterior to the left or up, and the patient's left on the left
        (neurological convention); of an image itself.
    """
    volume = np.asarray(volume, "float32")
    if volume.ndim == 2:
        return [volume]
    i, j, k = (n // 2 for n in volume.shape) if at is None else at
    sagittal, coronal, axial = volume[i, ::-1], volume[:, j], volume[:, :, k]
    return [plane.T[::-1] for plane in (sagittal, coronal, axial)]


def difference_images(originals, others):
    """Return differences of volumes in [0, 1]: grey where they are equal."""
    pairs = zip(originals, others)
    return [np.clip(0.5 + (other - original), 0, 1) for original, other in pairs]


def save_montage(path, rows, *, titles=None, columns=8):
    """Draw mid-slices of groups of volumes into a PNG, two pixels a voxel.

    Parameters
    ----------
    path : str or Path
        The PNG to write.
    rows : sequence of array of shape (n, *shape)
        Groups of volumes in [0, 1], one below the other; volumes of equal index are
        aligned.
    titles : sequence of str, optional
        One title per group.
    columns : int, optional
        Largest number of volumes per group.
    """
    from matplotlib.figure import Figure

    strips = [np.hstack([stacked_slices(v) for v in group[:columns]]) for group in rows]
    titles = titles or [""] * len(strips)
    sizes = [_ZOOM * np.array(strip.shape) for strip in strips]  # height, width
    margins = [_MARGIN * bool(title) for title in titles]
    below = _MARGIN * (np.ndim(rows[0][0]) == 3)
    height = sum(size[0] for size in sizes) + sum(margins) + below
    width = max(size[1] for size in sizes)
    figure, top = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI), height
    for strip, size, title, margin in zip(strips, sizes, titles, margins):
        top -= margin + size[0]
        place = (0, top / height, size[1] / width, size[0] / height)
        ax = figure.add_axes(place, frame_on=False, xticks=(), yticks=())
        ax.imshow(strip, cmap="gray", vmin=0, vmax=1, aspect="auto")
        ax.set_title(title, fontsize=9, loc="left", pad=3)
    if below:
        figure.text(0, 4 / height, "the patient's left is on the left", fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def stacked_slices(volume):
    """Stack the mid-slices of an image vertically, centred on its background."""
    planes = mid_slices(volume)
    width = max(plane.shape[1] for plane in planes)
    padded = []
    for plane in planes:
        left = (width - plane.shape[1]) // 2
        sides = ((0, 0), (left, width - plane.shape[1] - left))
        padded.append(np.pad(plane, sides, constant_values=plane[0, 0]))
    return np.vstack(padded)
