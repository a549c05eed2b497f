"""Conditions that name a side: their brains are not mirrored."""

import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.laterality import names_a_side
from dipy_synth.diffusion.latents import conditions_of


def schema_of(column, *values):
    return ConditionSchema.fit([{column: value} for value in values], [column])


@pytest.mark.parametrize(
    "name",
    [
        "frontal-left",
        "Right_Temporal",
        "lh.insula",
        "LEFT",
        "leftFrontal",
        "frontalLeftUpper",
        "left_mL",
    ],
)
def test_a_side_is_found_as_a_whole_word(name):
    assert names_a_side(schema_of("place", name, "stem"))
    assert names_a_side(schema_of(name, 1.0, 2.0))


@pytest.mark.parametrize("name", ["low-grade", "cleft", "bright", "leftover", "stem"])
def test_other_words_name_no_side(name):
    assert not names_a_side(schema_of("place", name, "other"))
    assert not names_a_side(schema_of(name, 1.0, 2.0))


def test_age_and_sex_name_no_side():
    rows = [{"age": 20, "sex": "F"}, {"age": 70, "sex": "M"}]
    assert not names_a_side(ConditionSchema.fit(rows, ["age", "sex"]))


def test_views_of_a_brain_have_its_conditions():
    rows = [{"age": 20}, {"age": 70}]
    schema = ConditionSchema.fit(rows, ["age"])
    conditions = schema.encode(rows)
    assert_array_equal(conditions_of(np.zeros((2, 3)), schema, rows), conditions)
    views = conditions_of(np.zeros((20, 3)), schema, rows)
    assert_array_equal(views, np.repeat(conditions, 10, axis=0))
