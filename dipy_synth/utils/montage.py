"""Montages of the mid-slices of volumes."""

import numpy as np

from dipy_synth.utils.files import atomic_path


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


def save_montage(path, rows, *, titles=None, columns=8):
    """Draw mid-slices of groups of volumes into a PNG.

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
    heights = [strip.shape[0] for strip in strips]
    width = max(strip.shape[1] for strip in strips)
    inches = 0.25 * len(strips)
    figure = Figure(
        figsize=(width / 80, sum(heights) / 80 + inches), layout="constrained"
    )
    axes = figure.subplots(len(strips), squeeze=False, height_ratios=heights)[:, 0]
    for ax, strip, title in zip(axes, strips, titles or [None] * len(strips)):
        ax.imshow(strip, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_axis_off()
        if title:
            ax.set_title(title, fontsize=9, loc="left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


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
