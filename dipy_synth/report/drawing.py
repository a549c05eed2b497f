"""Pictures of a page: slices as JPEG, outlines and histograms as SVG paths."""

import base64
import io

import numpy as np

from dipy_synth.utils.montage import mid_slices

PLANES = ("sagittal", "coronal", "axial")
GAP = 4.0  # mm between planes


def data_uri(plane):
    """Encode a picture (rows, columns) in [0, 1] as a ``data:`` URI with a JPEG."""
    from matplotlib.image import imsave

    grey = np.round(np.clip(plane, 0, 1) * 255).astype(np.uint8)
    stream = io.BytesIO()
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    imsave(stream, rgb, format="jpg", pil_kwargs={"quality": 85, "optimize": True})
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def outline(plane):
    """Trace a mask (rows, columns) along the edges of its pixels: an SVG path.

    A pixel is 1 x 1, the top left corner is (0, 0).
    """
    padded = np.pad(np.asarray(plane) > 0, 1).astype(np.int8)
    across, down = np.diff(padded, axis=0), np.diff(padded, axis=1).T
    across, down = across[:, 1:-1] != 0, down[:, 1:-1] != 0
    level = [f"M{a} {y}h{b - a}" for y, a, b in _runs(across)]
    upright = [f"M{x} {a}v{b - a}" for x, a, b in _runs(down)]
    return "".join(level + upright)


def _runs(edges):
    """Yield (row, start, stop) of the runs of True in each row."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, stops = np.argwhere(steps == 1), np.argwhere(steps == -1)
    for (row, start), (_, stop) in zip(starts.tolist(), stops.tolist()):
        yield row, start, stop


def slices(volume, mask, voxel_size, *, label, at=None, mirrored=False):
    """Place three slices of a volume side by side, its mask outlined.

    Parameters
    ----------
    volume : array of shape (I, J, K)
        The volume, in [0, 1], RAS.
    mask : array of shape (I, J, K), bool, or None
        The brain; None for no outline.
    voxel_size : tuple of float, (3,)
        Voxel size in mm, for true proportions.
    label : str
        Text alternative of the picture.
    at : sequence of int, (3,), optional
        Voxel to cut through; the middle by default.
    mirrored : bool, optional
        Whether left and right of the volume are exchanged.

    Returns
    -------
    dict
        For the macro ``slices``; 1 unit a mm.
    """
    planes = mid_slices(volume, at)
    edges = [""] * 3 if mask is None else map(outline, mid_slices(mask, at))
    sizes = [
        (plane.shape[1] * wide, plane.shape[0] * high)
        for plane, (wide, high) in zip(planes, pixels(voxel_size))
    ]
    height, left, placed = max(high for _, high in sizes), 0.0, []
    for plane, edge, (wide, high) in zip(planes, edges, sizes):
        placed.append(
            {
                **{"left": left, "top": (height - high) / 2},
                **{"width": wide, "height": high},
                **{"rows": plane.shape[0], "columns": plane.shape[1]},
                **{"data": data_uri(plane), "outline": edge},
            }
        )
        left += wide + GAP
    return {
        **{"label": label, "width": left - GAP, "height": height, "planes": placed},
        "sides": "RL" if mirrored else "LR",
    }


def pixels(voxel_size):
    """Return width and height of a pixel in mm, plane by plane."""
    x, y, z = voxel_size
    return (y, z), (x, z), (x, y)


def histogram_path(histogram, top):
    """Draw a histogram (n,) as a line of steps: an SVG path, n wide and 20 high.

    `top` is the value at the upper edge; larger ones are clipped.
    """
    heights = 20 - 20 * np.clip(np.asarray(histogram) / top, 0, 1)
    return "M0 20" + "".join(f"V{h:.1f}h1" for h in heights) + "V20Z"
