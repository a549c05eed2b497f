"""Charts against hand-computed places; planes at places of the world."""

import re

import numpy as np
import pytest

from dipy_synth.evaluation import Volumes
from dipy_synth.grid import Grid
from dipy_synth.report.charts import HIGH, WIDE, Series, band_svg, chart_svg, place_svg
from dipy_synth.report.gallery import evenly_spaced, mean_and_std, sprites, voxel_at

NAMES = {"x": "a", "y": "b", "label": "<c>"}


def places(svg, name):
    return [float(v) for v in re.findall(rf'{name}="([-\d.]+)"', svg)]


def test_dots_are_in_order_and_within_the_axes():
    svg = chart_svg([Series("dots", [0, 5, 10], [1, np.nan, 3], "real")], **NAMES)
    (left, right), (low, high) = places(svg, "cx"), places(svg, "cy")
    assert 46 < left < right < WIDE and 0 < high < low < HIGH
    assert 'aria-label="&lt;c&gt;"' in svg


def test_a_logarithm_makes_equal_steps_of_equal_factors():
    line = Series("line", [0, 1, 2, 3], [1, 10, 100, 0], "real")
    svg = chart_svg([line], log=True, **NAMES)
    points = re.search(r'points="([^"]*)"', svg)[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(heights) == 3  # 0 has no logarithm
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)
    assert chart_svg([Series("line", [], [], "real")], **NAMES) == ""


def test_what_is_outside_of_the_band_is_drawn_outside():
    svg = band_svg([1, 2, 3], [0, 2, 1000], (0.5, 3.5), label="f")
    x = places(svg, "cx")
    left, width = places(svg, " x")[0], places(svg, "width")[0]
    inside = [left <= place <= left + width for place in x]
    assert inside == [True, True, True, False, True, False]
    open_band = band_svg([1, 2, 3], [9], (0.5, np.inf), label="f")
    assert places(open_band, "width")[0] > 100


def test_floor_and_ceiling_are_where_their_ticks_are():
    for value in (0, 1):
        svg = place_svg(value, (value - 0.1, value + 0.1), label="f")
        ticks = [float(v) for v in re.findall(r'class="tick" d="M([\d.]+)', svg)]
        assert places(svg, "cx")[0] == pytest.approx(ticks[value], abs=0.1)
    assert place_svg(np.nan, (0, 0), label="f") == ""


def test_a_place_of_the_world_is_found_on_any_grid():
    grid = Grid((80, 96, 80), (2.0,) * 3)
    point = (grid.affine @ [*voxel_at(grid, (10, -20, 8)), 1])[:3]
    assert np.abs(point - (10, -20, 8)).max() <= 1
    assert voxel_at(grid, (900, 0, 0))[0] == 79


def test_mean_and_spread_are_numpys():
    volumes = np.random.default_rng(0).random((5, 3, 4, 5))
    mean, spread = mean_and_std(volumes)
    assert mean == pytest.approx(volumes.mean(axis=0))
    assert spread == pytest.approx(volumes.std(axis=0), abs=1e-6)
    assert evenly_spaced(3, 8) == [0, 1, 2] and evenly_spaced(9, 3) == [0, 4, 8]


def test_a_sprite_holds_every_voxel_where_the_viewer_looks():
    from base64 import b64decode
    import io

    from matplotlib.image import imread

    grid = Grid((16, 24, 10), (2.0,) * 3)
    i, j, k = np.indices(grid.shape)
    volume = (i / 32 + j / 96 + k / 40)[None]
    html = sprites({"real": Volumes(volume, grid)})
    data = re.search(r'base64,([^"]*)"', html)[1]
    picture = imread(io.BytesIO(b64decode(data)), format="jpg")[..., 0] / 255
    columns = int(re.search(r'data-columns="(\d+)"', html)[1])
    for at in ((0, 0, 0), (15, 3, 4), (7, 23, 9)):
        row = at[2] // columns * 24 + 23 - at[1]
        column = at[2] % columns * 16 + at[0]
        assert picture[row, column] == pytest.approx(volume[(0, *at)], abs=0.03)
