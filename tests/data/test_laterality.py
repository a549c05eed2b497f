"""Sides in the conditions of mirror images."""

import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.laterality import is_lateral, mirror_conditions, other_side
from dipy_synth.diffusion.latents import conditions_of

ROWS = [
    {"age": 20, "place": "frontal-left", "tumor": "glioma"},
    {"age": 70, "place": "frontal-right", "tumor": "low-grade"},
    {"age": 50, "place": "stem", "tumor": None},
    {"age": None, "place": "central-left", "tumor": "glioma"},
]
SCHEMA = ConditionSchema.fit(ROWS, ["age", "place", "tumor"])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("frontal-left", "frontal-right"),
        ("Right_Temporal", "Left_Temporal"),
        ("L", "R"),
        ("lh.insula", "rh.insula"),
        ("LEFT", "RIGHT"),
        ("leftFrontal", "rightFrontal"),
        ("frontalLeftUpper", "frontalRightUpper"),
        ("left_mL", "right_mL"),
        ("low-grade", "low-grade"),
        ("cleft", "cleft"),
    ],
)
def test_sides_are_exchanged_as_whole_words_in_their_own_letters(name, other):
    assert other_side(name) == other
    assert other_side(other) == name


def test_a_mirror_image_is_on_the_other_side_and_else_the_same():
    conditions = SCHEMA.encode(ROWS)
    mirrored = mirror_conditions(conditions, SCHEMA)
    assert_array_equal(mirrored[:, [0, 2]], conditions[:, [0, 2]])
    places = SCHEMA.columns[1].decode(mirrored[:3, 1])
    assert places == ["frontal-right", "frontal-left", "stem"]
    assert np.isnan(mirrored[3, 1])  # nobody had central-right
    assert_array_equal(mirror_conditions(mirrored, SCHEMA)[:3], conditions[:3])


def test_a_column_that_names_a_side_takes_the_value_of_the_other():
    rows = [
        {"left_mL": 3.0, "right_mL": 5.0, "leftLesion": "yes", "rightLesion": "no"},
        {"left_mL": 4.0, "right_mL": 9.0, "leftLesion": "no", "rightLesion": "no"},
        {"left_mL": None, "right_mL": 6.0, "leftLesion": "no", "rightLesion": "yes"},
    ]
    schema = ConditionSchema.fit(rows, list(rows[0]))
    mirrored = mirror_conditions(schema.encode(rows), schema)
    left, right, lesion, other = (
        column.decode(values[:2]) for column, values in zip(schema.columns, mirrored.T)
    )
    np.testing.assert_allclose(left, [5, 9], rtol=1e-6)
    np.testing.assert_allclose(right, [3, 4], rtol=1e-6)
    assert np.isnan(mirrored[2, 1]) and not np.isnan(mirrored[2, 0])
    assert (lesion, other) == (["no", "no"], ["yes", "no"])
    assert np.isnan(mirrored[:2, 2]).sum() == 0
    assert is_lateral(schema)
    alone = ConditionSchema.fit(rows, ["left_mL"])
    assert np.isnan(mirror_conditions(alone.encode(rows), alone)).all()
    assert is_lateral(alone)


def test_a_letter_without_its_other_is_no_side():
    schema = ConditionSchema.fit([{"group": g} for g in "RGB"], ["group"])
    conditions = schema.encode([{"group": "R"}])
    assert_array_equal(mirror_conditions(conditions, schema), conditions)
    assert not is_lateral(schema)
    assert is_lateral(SCHEMA)
    assert not is_lateral(ConditionSchema.fit(ROWS, ["age", "tumor"]))


def test_every_second_view_of_a_training_brain_is_mirrored():
    conditions = SCHEMA.encode(ROWS)
    assert_array_equal(conditions_of(np.zeros((4, 2)), SCHEMA, ROWS), conditions)
    views = conditions_of(np.zeros((16, 2)), SCHEMA, ROWS)
    assert_array_equal(views[0::4], conditions)
    assert_array_equal(views[2::4], conditions)
    assert_array_equal(views[1::4], mirror_conditions(conditions, SCHEMA))
    assert_array_equal(views[3::4], views[1::4])
