"""Charts of curves and dots as SVG, with axes."""

from dataclasses import dataclass
from html import escape

import numpy as np

WIDE, HIGH = 320, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 34


@dataclass(frozen=True)
class Series:
    """Data of a chart.

    Parameters
    ----------
    kind : {"line", "band", "dots"}
        A curve; the area between two curves; one dot a point.
    x : array_like of shape (n,)
        Coordinates on the first axis.
    y : array_like of shape (n,), or (2, n) for a band
        Values; those that are not finite are left out.
    style : str
        CSS class: "real" or "synthetic".
    """

    kind: str
    x: object
    y: object
    style: str


def chart_svg(series, *, x, y, label, log=False):
    """Draw series in one pair of axes.

    Parameters
    ----------
    series : sequence of Series
        Series, drawn in this order.
    x, y : str
        Names of the axes, with units.
    label : str
        Text alternative of the picture.
    log : bool, optional
        Logarithmic second axis, for values above 0.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    drawn = [(s, *_finite(s, log)) for s in series]
    drawn = [(s, a, b) for s, a, b in drawn if a.size]
    if not drawn:
        return ""
    across = _axis(np.concatenate([a for _, a, _ in drawn]))
    upward = _axis(np.concatenate([b.ravel() for _, _, b in drawn]), whole=log)

    def place(a, b):
        return _scaled(a, across, _LEFT, WIDE - _RIGHT), _scaled(
            b, upward, HIGH - _BOTTOM, _TOP
        )

    shapes = "".join(_shape(s, place, a, b) for s, a, b in drawn)
    return (
        f'<svg class="chart" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {WIDE} {HIGH}">{_grid(across, upward, log)}{shapes}'
        f'<text class="name" x="{(WIDE + _LEFT) / 2:g}" y="{HIGH - 4}">{escape(x)}'
        f'</text><text class="name" transform="translate(10 {(HIGH - _BOTTOM) / 2:g}) '
        f'rotate(-90)">{escape(y)}</text></svg>'
    )


def band_svg(real, synthetic, band, *, label):
    """Draw one metric of all volumes in two rows of dots, with its acceptance range.

    Parameters
    ----------
    real, synthetic : array_like of shape (n,), (m,)
        The metric.
    band : tuple of float, (2,)
        Acceptance range, shaded; infinite where everything passes.
    label : str
        Text alternative of the picture.

    Returns
    -------
    str
        An ``<svg>`` element: real volumes above, synthetic ones below. Values far
        outside are drawn at the edge.
    """
    real, synthetic = (np.asarray(values, float) for values in (real, synthetic))
    known = [edge for edge in band if np.isfinite(edge)]
    low, high = min(*known, *real), max(*known, *real)
    reach = 0.6 * (high - low) or 1.0
    ends = (low - reach, high + reach)
    left, right = (float(_scaled(np.clip(b, *ends), ends, 2, 198)) for b in band)
    rows = ""
    for values, y, style in ((real, 5, "real"), (synthetic, 15, "synthetic")):
        places = _scaled(np.clip(values, *ends), ends, 3, 197)
        rows += "".join(
            f'<circle class="{style}" cx="{x:.1f}" cy="{y}" r="2.2"/>' for x in places
        )
    return (
        f'<svg class="strip" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 200 20"><rect class="passes" x="{left:.1f}" y="0" '
        f'width="{right - left:.1f}" height="20"/>{rows}</svg>'
    )


def place_svg(value, interval, *, label):
    """Draw a normalised metric between real against real (0) and noise (1).

    Parameters
    ----------
    value : float
        The normalised metric; NaN draws nothing.
    interval : tuple of float, (2,)
        Interval of the metric.
    label : str
        Text alternative of the picture.

    Returns
    -------
    str
        An ``<svg>`` element; beyond -0.2 and 1.2 it is drawn at the edge.
    """
    if not np.isfinite(value):
        return ""
    ends = (-0.2, 1.2)
    x, low, high = (
        float(_scaled(np.clip(v, *ends), ends, 2, 118)) for v in (value, *interval)
    )
    ticks = "".join(
        f'<path class="tick" d="M{float(_scaled(t, ends, 2, 118)):.1f} 2V12"/>'
        for t in (0, 1)
    )
    return (
        f'<svg class="place" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 120 14"><path class="axis" d="M2 7H118"/>{ticks}'
        f'<path class="reach" d="M{low:.1f} 7H{high:.1f}"/>'
        f'<circle class="synthetic" cx="{x:.1f}" cy="7" r="3.2"/></svg>'
    )


def _finite(series, log):
    """Return the finite coordinates and values."""
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    rows = np.atleast_2d(y)
    good = np.isfinite(x) & np.isfinite(rows).all(axis=0)
    good &= (rows > 0).all(axis=0) if log else True
    y = y[..., good]
    return x[good], np.log10(y) if log else y


def _axis(values, *, whole=False):
    """Compute the ends of an axis, a little beyond the values."""
    low, high = float(values.min()), float(values.max())
    if whole:
        return np.floor(low), max(np.ceil(high), np.floor(low) + 1)
    edge = 0.04 * (high - low) or 0.5
    return low - edge, high + edge


def _ticks(ends, most=5):
    """Compute round numbers between the ends of an axis."""
    rough = (ends[1] - ends[0]) / most
    size = 10.0 ** np.floor(np.log10(rough))
    step = next(size * f for f in (1, 2, 5, 10) if size * f >= rough)
    # + 0 turns -0 into 0
    return step * np.arange(np.ceil(ends[0] / step), np.floor(ends[1] / step) + 1) + 0


def _scaled(values, ends, start, stop):
    return start + (np.asarray(values) - ends[0]) / (ends[1] - ends[0]) * (stop - start)


def _grid(across, upward, log):
    """Draw the lines and the numbers of both axes."""
    parts = []
    for tick in _ticks(across):
        x = _scaled(tick, across, _LEFT, WIDE - _RIGHT)
        parts.append(
            f'<path class="tick" d="M{x:.1f} {_TOP}V{HIGH - _BOTTOM}"/>'
            f'<text x="{x:.1f}" y="{HIGH - _BOTTOM + 12}">{tick:.4g}</text>'
        )
    upward_ticks = _ticks(upward)
    for tick in upward_ticks[upward_ticks % 1 == 0] if log else upward_ticks:
        y = _scaled(tick, upward, HIGH - _BOTTOM, _TOP)
        words = f"1e{tick:.0f}" if log else f"{tick:.4g}"
        parts.append(
            f'<path class="tick" d="M{_LEFT} {y:.1f}H{WIDE - _RIGHT}"/>'
            f'<text class="up" x="{_LEFT - 4}" y="{y + 3:.1f}">{words}</text>'
        )
    return "".join(parts)


def _shape(series, place, a, b):
    """Draw one series."""
    if series.kind == "dots":
        return "".join(
            f'<circle class="{series.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
            for x, y in zip(*place(a, b))
        )
    if series.kind == "band":
        a, b = np.concatenate([a, a[::-1]]), np.concatenate([b[0], b[1][::-1]])
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(*place(a, b)))
    tag = "polygon" if series.kind == "band" else "polyline"
    return f'<{tag} class="{series.kind} {series.style}" points="{points}"/>'
