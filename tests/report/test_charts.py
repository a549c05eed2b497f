"""Charts against hand-computed places; planes at places of the world."""

import numpy as np
import pytest

from dipy_synth.evaluation import Volumes
from dipy_synth.grid import Grid
from dipy_synth.report.charts import HEIGHT, WIDTH, Series, band, chart, place, strip
from dipy_synth.report.gallery import evenly_spaced, mean_and_std, sprites, voxel_at

NAMES = {"x": "a", "y": "b", "label": "c"}


def test_dots_are_in_order_and_within_the_axes():
    dots = Series("dots", [0, 5, 10], [1, np.nan, 3], "real", ["p", "q", "r"])
    (shape,) = chart([dots], **NAMES)["shapes"]
    (left, low), (right, high) = shape["points"]
    assert 46 < left < right < WIDTH and 0 < high < low < HEIGHT
    assert shape["names"] == ["p", "r"]
    assert chart([Series("line", [], [], "real")], **NAMES) is None


def test_ticks_are_round_numbers_at_their_places():
    found = chart([Series("line", [0, 10], [-1, 1], "real")], **NAMES)
    assert [text for _, text in found["across"]] == ["0", "5", "10"]
    assert [text for _, text in found["upward"]] == ["-1", "-0.5", "0", "0.5", "1"]
    (first, last) = found["shapes"][0]["points"]
    assert [found["across"][0][0], found["upward"][0][0]] == [*first]
    assert [found["across"][-1][0], found["upward"][-1][0]] == [*last]


def test_a_logarithm_makes_equal_steps_of_equal_factors():
    line = Series("line", [0, 1, 2, 3], [1, 10, 100, 0], "real")
    found = chart([line], log="y", **NAMES)
    heights = [y for _, y in found["shapes"][0]["points"]]
    assert len(heights) == 3  # 0 has no logarithm
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)
    assert dict(found["upward"])[heights[1]] == "10"
    noise = Series("line", [0.25, 9], [1, 2], "real")
    texts = [text for _, text in chart([noise], log="x", **NAMES)["across"]]
    assert texts == ["0.5", "1", "2", "5", "10"]


def test_the_line_of_equal_coordinates_is_where_both_are_equal():
    dots = Series("dots", [20, 80], [30, 60], "real")
    line, shape = chart([dots], identity=True, **NAMES)["shapes"]
    (x0, y0), (x1, y1) = line["points"]
    (left, low), (right, high) = shape["points"]
    scales = (right - left) / 60, (high - low) / 30
    ends = left + (30 - 20) * scales[0], low + (60 - 30) * scales[1]
    for x, y in ((x0, y0), (x1, y1)):
        here = 20 + (x - left) / scales[0], 30 + (y - low) / scales[1]
        assert here[0] == pytest.approx(here[1], abs=0.2)
    assert x0 < ends[0] < x1 and y1 < ends[1] < y0


def test_outliers_of_a_strip_are_drawn_last_and_far_ones_at_the_edge():
    dots = strip([1, 2, np.nan, 3], [0.5, 40, 0, -1], [0, 1, 0, 0], "pqrs")
    assert dots == [(6.0, "", "p"), (-12.0, "", "s"), (96.0, "outlier", "q")]


def test_what_is_outside_of_the_band_is_drawn_outside():
    found = band([1, 2, 3], [0, 2, 1000], (0.5, 3.5))
    left, right = found["left"], found["left"] + found["width"]
    inside = [left <= x <= right for x in found["real"] + found["synthetic"]]
    assert inside == [True, True, True, False, True, False]
    assert band([1, 2, 3], [9], (0.5, np.inf))["width"] > 100


def test_floor_and_ceiling_are_where_their_ticks_are():
    for value in (0, 1):
        found = place(value, (value - 0.1, value + 0.1))
        assert found["value"] == found["ticks"][value]
        assert found["low"] < found["value"] < found["high"]
    assert place(np.nan, (0, 0)) is None


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
    first, _ = sprites({"real": Volumes(volume, grid)})
    data = first["data"].removeprefix("data:image/jpeg;base64,")
    picture = imread(io.BytesIO(b64decode(data)), format="jpg")[..., 0] / 255
    columns = first["columns"]
    for at in ((0, 0, 0), (15, 3, 4), (7, 23, 9)):
        row = at[2] // columns * 24 + 23 - at[1]
        column = at[2] % columns * 16 + at[0]
        assert picture[row, column] == pytest.approx(volume[(0, *at)], abs=0.03)
