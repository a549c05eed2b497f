"""Pictures of a page: slices as JPEG, outlines and curves as SVG."""

import base64
from html import escape
import io

import numpy as np

from dipy_synth.utils.montage import mid_slices

PLANES = ("sagittal", "coronal", "axial")
GAP = 4.0  # mm between planes


def data_uri(plane):
    """Encode a picture as a data URI.

    Parameters
    ----------
    plane : array of shape (rows, columns)
        The picture, in [0, 1].

    Returns
    -------
    str
        A ``data:`` URI with a JPEG.
    """
    from matplotlib.image import imsave

    grey = np.round(np.clip(plane, 0, 1) * 255).astype(np.uint8)
    stream = io.BytesIO()
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    imsave(stream, rgb, format="jpg", pil_kwargs={"quality": 85, "optimize": True})
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def outline(plane):
    """Trace the edge of a mask along the edges of its pixels.

    Parameters
    ----------
    plane : array of shape (rows, columns), bool
        The mask.

    Returns
    -------
    str
        An SVG path; a pixel is 1 x 1, the top left corner is (0, 0).
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


def slices_svg(volume, mask, voxel_size, *, label, at=None):
    """Draw three slices of a volume side by side, its mask outlined.

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

    Returns
    -------
    str
        An ``<svg>`` element, 1 unit a mm.
    """
    x, y, z = voxel_size
    pixels = ((y, z), (x, z), (x, y))  # width and height of a pixel, plane by plane
    planes = mid_slices(volume, at)
    edges = [""] * 3 if mask is None else map(outline, mid_slices(mask, at))
    pairs = list(zip(planes, edges, pixels))
    sizes = [(p.shape[1] * w, p.shape[0] * h) for p, _, (w, h) in pairs]
    height, left, parts = max(h for _, h in sizes), 0.0, []
    for (plane, edge, _), (wide, high) in zip(pairs, sizes):
        box = f'x="{left:g}" y="{(height - high) / 2:g}" width="{wide:g}"'
        rows, columns = plane.shape
        parts.append(
            f'<svg {box} height="{high:g}" viewBox="0 0 {columns} {rows}" '
            'preserveAspectRatio="none">'
            f'<image width="{columns}" height="{rows}" preserveAspectRatio="none" '
            f'href="{data_uri(plane)}"/>'
            + (f'<path class="outline" d="{edge}"/></svg>' if edge else "</svg>")
        )
        left += wide + GAP
    return (
        f'<svg class="slices" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {left - GAP:g} {height:g}">{"".join(parts)}</svg>'
    )


def histogram_path(histogram, top):
    """Draw a histogram as a line of steps.

    Parameters
    ----------
    histogram : array of shape (n,)
        Fraction of the voxels in each bin.
    top : float
        Value at the upper edge; larger ones are clipped.

    Returns
    -------
    str
        An SVG path, n wide and 20 high, closed along the lower edge.
    """
    heights = 20 - 20 * np.clip(np.asarray(histogram) / top, 0, 1)
    return "M0 20" + "".join(f"V{h:.1f}h1" for h in heights) + "V20Z"


def strip_svg(values, z, chosen, *, label):
    """Draw one metric of all volumes as dots on a line, the outlying ones marked.

    Parameters
    ----------
    values : array of shape (n,)
        The metric.
    z : array of shape (n,)
        Robust z of the metric, its position on the line; clipped at 8.
    chosen : sequence of bool, (n,)
        Volumes to mark.
    label : str
        Text alternative of the picture.

    Returns
    -------
    str
        An ``<svg>`` element: the median in the middle, ticks at z of 3.5.
    """
    places = np.clip(np.nan_to_num(z), -8, 8) * 12
    order = np.argsort(chosen, kind="stable")  # marked dots on top
    dots = "".join(
        f'<circle cx="{places[i]:.1f}" cy="0" r="{3.2 if chosen[i] else 2.4}"'
        + (' class="outlier"/>' if chosen[i] else "/>")
        for i in order
        if np.isfinite(values[i])
    )
    ticks = "".join(f'<path class="tick" d="M{t} -7V7"/>' for t in (-42, 0, 42))
    return (
        f'<svg class="strip" role="img" aria-label="{escape(label)}" '
        f'viewBox="-100 -8 200 16"><path class="axis" d="M-98 0H98"/>{ticks}{dots}'
        "</svg>"
    )
