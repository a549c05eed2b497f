"""Places of curves, dots and axes in the charts of a page; templates draw them.

matplotlib's SVG was measured and not used: four times as large, a hundred times as
slow, without names of dots, and of one colour scheme.
"""

from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 320, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, WIDTH - 8, 8, HEIGHT - 34
_FARTHEST = 8.0  # robust standard deviations, the ends of a strip


@dataclass(frozen=True)
class Series:
    """Data of a chart.

    Parameters
    ----------
    kind : {"line", "area", "dots"}
        A curve; the area between two curves; one dot a point.
    x, y : array_like of shape (n,)
        Coordinates and values, those of an area (2, n); only finite ones are drawn.
    style : str
        CSS class, such as "real" or "synthetic".
    names : sequence of str, (n,), optional
        Names of the points.
    """

    kind: str
    x: object
    y: object
    style: str
    names: tuple = ()


def chart(series, *, x, y, label, log="", identity=False):
    """Place series, in this order, in one pair of axes: dict for the macro ``chart``.

    `x` and `y` are the names of the axes, with units, and `label` the text alternative.
    Axes in `log` ("x", "y" or "xy") are logarithmic, for values above 0; `identity`
    adds the line of equal coordinates. None without a value to draw.
    """
    drawn = [found for one in series if (found := _finite(one, log))[1].size]
    if not drawn:
        return None
    columns = [np.concatenate([found[i].ravel() for found in drawn]) for i in (1, 2)]
    across, upward = (
        _axis(values, name in log) for values, name in zip(columns, ("x", "y"))
    )
    if identity:
        ends = np.array([max(across[0], upward[0]), min(across[1], upward[1])])
        drawn.insert(0, (Series("line", ends, ends, "reference"), ends, ends, ()))
    return {
        **{"x": x, "y": y, "label": label, "width": WIDTH, "height": HEIGHT},
        **{"left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM},
        "across": _ticks(across, "x" in log, _LEFT, _RIGHT),
        "upward": _ticks(upward, "y" in log, _BOTTOM, _TOP),
        "shapes": [_shape(*found, across, upward) for found in drawn],
    }


def strip(values, z, chosen, names):
    """Place one metric of n volumes on a line, the outliers last.

    `z` is the robust z of each value, its place on the line, clipped at 8; `chosen` are
    the outliers. Return for each place, in twelfths of a robust standard deviation, CSS
    class and name.
    """
    places = (12 * np.clip(np.nan_to_num(z), -_FARTHEST, _FARTHEST)).round(1).tolist()
    return [
        (places[i], "outlier" if chosen[i] else "", names[i])
        for i in np.argsort(chosen, kind="stable")
        if np.isfinite(values[i])
    ]


def band(real, synthetic, limits):
    """Place one metric of two cohorts beside its acceptance range, from 0 to 200.

    Return ``left`` and ``width`` of the range, whose limits may be infinite, and the
    places of ``real`` and ``synthetic``; values far outside are at the edge.
    """
    known = [*np.asarray(real, float), *(end for end in limits if np.isfinite(end))]
    low, high = min(known), max(known)
    reach = 0.6 * (high - low) or 1.0
    ends = (low - reach, high + reach)
    left, right = _clipped(limits, ends, 2, 198)
    return {
        "left": left,
        "width": round(right - left, 1),
        "real": _clipped(real, ends, 3, 197),
        "synthetic": _clipped(synthetic, ends, 3, 197),
    }


def place(value, interval):
    """Place a normalised metric between real against real (0) and noise (1).

    Return ``value``, ``low``, ``high`` (of its interval) and ``ticks``, from 0 to 120;
    beyond -0.2 and 1.2 at the edge. None for NaN.
    """
    if not np.isfinite(value):
        return None
    value, low, high, *ticks = _clipped([value, *interval, 0, 1], (-0.2, 1.2), 2, 118)
    return {"value": value, "low": low, "high": high, "ticks": ticks}


def _finite(series, log):
    """Return a series with its finite coordinates, values and names."""
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    good = np.isfinite(x) & np.isfinite(np.atleast_2d(y)).all(axis=0)
    good &= (x > 0) if "x" in log else True
    good &= (np.atleast_2d(y) > 0).all(axis=0) if "y" in log else True
    x, y = x[good], y[..., good]
    x, y = (np.log10(x) if "x" in log else x), (np.log10(y) if "y" in log else y)
    return series, x, y, [n for n, kept in zip(series.names, good) if kept]


def _axis(values, log):
    """Compute the ends of an axis, a little beyond the values."""
    low, high = float(values.min()), float(values.max())
    edge = 0.04 * (high - low) or (0.15 if log else 0.5)
    return low - edge, high + edge


def _ticks(ends, log, start, stop):
    """Compute places of round numbers between the ends of an axis, and their texts."""
    if log:
        decades = np.arange(np.floor(ends[0]), np.ceil(ends[1]))
        factors = (1,) if ends[1] - ends[0] > 2 else (1, 2, 5)
        found = np.sort(np.log10(np.outer(10.0**decades, factors)).ravel())
        found = found[(found >= ends[0]) & (found <= ends[1])]
        texts = [_power_of_ten(value) for value in found]
    else:
        rough = (ends[1] - ends[0]) / 5
        size = 10.0 ** np.floor(np.log10(rough))
        step = next(size * f for f in (1, 2, 5, 10) if size * f >= rough)
        count = np.arange(np.ceil(ends[0] / step), np.floor(ends[1] / step) + 1)
        found = step * count + 0  # + 0 turns -0 into 0
        texts = [f"{value:.4g}" for value in found]
    return list(zip(_scaled(found, ends, start, stop), texts))


def _power_of_ten(value):
    """Format 10 ** value: 0.1, 1, 20, but 1e-4."""
    words = f"{10**value:.3g}"
    return words if -2.1 < value < 4 else f"{10**value:.0e}".replace("e-0", "e-")


def _scaled(values, ends, start, stop):
    share = (np.asarray(values, float) - ends[0]) / (ends[1] - ends[0])
    return (start + share * (stop - start)).round(1).tolist()


def _clipped(values, ends, start, stop):
    return _scaled(np.clip(values, *ends), ends, start, stop)


def _shape(series, x, y, names, across, upward):
    """Place one series."""
    if series.kind == "area":
        x, y = np.concatenate([x, x[::-1]]), np.concatenate([y[0], y[1][::-1]])
    places = _scaled(x, across, _LEFT, _RIGHT), _scaled(y, upward, _BOTTOM, _TOP)
    return {
        "kind": series.kind,
        "style": series.style,
        "points": list(zip(*places)),
        "names": names or [""] * len(places[0]),
    }
