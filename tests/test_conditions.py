"""Conditions: tables in, numbers out, nonsense refused."""

import json
import warnings

import numpy as np
from numpy.testing import assert_allclose
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.errors import InputError

ROWS = [
    {"age": "20", "sex": "F", "site": "1", "dose": None},
    {"age": "80", "sex": "M", "site": "2", "dose": None},
    {"age": None, "sex": "n/a", "site": "1", "dose": None},
]


@pytest.fixture
def schema():
    return ConditionSchema.fit(ROWS, ["age", "sex"])


def test_fit_separates_numbers_from_categories(schema):
    age, sex = schema.columns
    assert (age.kind, age.low, age.high) == ("number", 20, 80)
    assert (sex.kind, sex.categories) == ("category", ("F", "M"))
    assert schema.names == ("age", "sex")


def test_encode_scales_indexes_and_marks_what_is_missing(schema):
    encoded = schema.encode([*ROWS, {"age": 50, "sex": "M"}, {}])
    assert encoded.dtype == np.float32 and encoded.shape == (5, 2)
    assert_allclose(encoded[:, 0], [-1, 1, np.nan, 0, np.nan])
    assert_allclose(encoded[:, 1], [0, 1, np.nan, 1, np.nan])


def test_no_rows_and_no_columns_have_shapes(schema):
    assert schema.encode([]).shape == (0, 2)
    assert ConditionSchema().encode(ROWS).shape == (3, 0)


def test_one_value_in_the_table_divides_by_nothing():
    schema = ConditionSchema.fit([{"age": "30"}], ["age"])
    assert schema.encode([{"age": 30}]) == 0


def test_a_number_outside_of_the_range_warns(schema):
    with pytest.warns(UserWarning, match=r"age=90 is outside .*\[20, 80\]"):
        schema.check([{"age": "90"}])
    assert_allclose(schema.encode([{"age": "90"}])[0, 0], 4 / 3, rtol=1e-6)


def test_many_numbers_outside_of_the_range_warn_once(schema):
    with pytest.warns(UserWarning, match=r"age=0, 1, 2, 3, 4\.\.\. is") as caught:
        schema.check([{"age": age} for age in range(90)])
    assert len(caught) == 1


def test_a_request_for_an_unknown_column_lists_what_there_is(schema):
    with pytest.raises(InputError, match="no condition height; expected one of age"):
        schema.check([{"age": 30}, {"height": 2}])


def test_within_the_range_nothing_warns(schema):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema.check([{"age": "20", "sex": "F"}, {"age": 80}, {"age": None}])


@pytest.mark.parametrize(
    "row, match", [({"sex": "X"}, "one of F, M"), ({"age": "old"}, "a number")]
)
def test_unknown_values_are_refused(schema, row, match):
    with pytest.raises(InputError, match=match):
        schema.encode([row])


@pytest.mark.parametrize(
    "names, match", [(["iq"], "one of age"), (["dose"], "no value")]
)
def test_fit_needs_a_column_with_values(names, match):
    with pytest.raises(InputError, match=match):
        ConditionSchema.fit(ROWS, names)


def test_parse_reads_words(schema):
    assert schema.parse(["age=70", "sex=F"]) == {"age": 70, "sex": "F"}
    assert schema.parse("age=70 sex=n/a") == {"age": 70, "sex": None}
    assert schema.parse([]) == {}
    assert schema.parse(["sex= f"]) == schema.parse("sex=female") == {"sex": "F"}
    assert schema.parse_sweep("sex=female,m") == {"sex": ["F", "M"]}


@pytest.mark.parametrize(
    "words, match",
    [
        ("age", "name=value"),
        ("age=", "name=value"),
        ("iq=3", "one of age, sex"),
        ("sex=X", "one of F, M"),
        ("age=1 age=2", "twice"),
        ("age=30,40", "one number.*--sweep age=30,40"),
        ("age=30,5", "one number.*decimal point"),
        ("age=>40", "age=>40: expected an exact number"),
        ("age=40+", "exact number"),
        ("age=<1", "exact number"),
    ],
)
def test_parse_refuses_what_it_cannot_read(schema, words, match):
    with pytest.raises(InputError, match=match):
        schema.parse(words)


def test_a_sweep_is_a_range_or_a_list(schema):
    assert schema.parse_sweep("age=20:90:8") == {
        "age": [20, 30, 40, 50, 60, 70, 80, 90]
    }
    assert schema.parse_sweep(["sex=F,M", "age=30,55.5"]) == {
        "sex": ["F", "M"],
        "age": [30, 55.5],
    }
    assert schema.parse_sweep("age=20:30:4")["age"][1] == 23.3333


@pytest.mark.parametrize(
    "words, match",
    [
        ("age=20:90", "first:last:count"),
        ("age=20:90:1", "first:last:count"),
        ("age=20:90:2.5", "first:last:count"),
        ("age=20:old:3", "first:last:count"),
        ("age=20,old", "expected a number"),
        ("age=>20,30", "exact number"),
        ("sex=F,X", "one of F, M"),
        ("sex=1:2:3", "one of F, M"),
        ("iq=1,2", "one of age, sex"),
        ("age=20:90:1e9", "count of 2 to 1000"),
    ],
)
def test_a_sweep_that_is_none_is_refused(schema, words, match):
    with pytest.raises(InputError, match=match):
        schema.parse_sweep(words)


def test_config_survives_json(schema):
    assert (
        ConditionSchema.from_config(json.loads(json.dumps(schema.to_config())))
        == schema
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "colour"},
        {"kind": "category"},
        {"kind": "category", "categories": ("a", "a")},
        {"low": 2.0, "high": 1.0},
        {"high": float("inf")},
    ],
)
def test_a_column_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError, match="condition x"):
        Column("x", **wrong)


def test_a_column_cannot_be_there_twice():
    with pytest.raises(InputError, match="twice"):
        ConditionSchema((Column("age"), Column("age")))


def test_a_word_among_numbers_is_refused_rather_than_taken_for_a_name():
    rows = [{"age": "20"}, {"age": "old"}, {"age": "40"}]
    with pytest.raises(InputError, match="age: numbers and old"):
        ConditionSchema.fit(rows, ["age"])


@pytest.mark.parametrize(
    "words",
    ["sex=F,,M", "sex=F,F", "age=20,50,"]
    + ["sex=F,female", "age=20,20.0", "age=30:30:3"],
)
def test_a_sweep_has_different_values(words):
    rows = [{"age": "20", "sex": "F"}, {"age": "60", "sex": "M"}]
    with pytest.raises(InputError, match="different values"):
        ConditionSchema.fit(rows, ["age", "sex"]).parse_sweep(words)


@pytest.mark.parametrize(
    ("name", "values", "kind", "expected"),
    [
        ("sex", ["F", "M", "NA"], "category", ("F", "M")),
        ("sex", ["F", "M", "nan", "unknown"], "category", ("F", "M")),
        ("sex", ["F", "F ", "M", "female"], "category", ("F", "M")),
        ("sex", ["0", "1", 1.0], "category", ("0", "1")),
        ("age", ["25,5", "30,1", "25,5"], "number", (25, 31)),
        ("age", ["25Y", "30Y", ">89"], "number", (25, 89)),
        ("site", ["a ", "a", "B"], "category", ("B", "a")),
    ],
)
def test_a_column_is_what_its_values_mean(name, values, kind, expected):
    column = Column.fit(name, values)
    assert column.kind == kind
    assert (column.categories or (column.low, column.high)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((19.98, 81.94), (19, 82)),
        ((20, 82), (20, 82)),  # whole ones stay
        ((3.3, 9.7), (3, 10)),
        ((3.3, 4.9), (3.2, 5)),
        ((1.2, 2.1), (1.2, 2.2)),
        ((-0.31, 0.04), (-0.35, 0.05)),
        ((0, 1), (0, 1)),
        ((1.5, 1.5), (1.5, 1.5)),
        ((7.1e-10, 1.26e-9), (7e-10, 1.3e-9)),
    ],
)
def test_a_range_is_rounded_outwards(values, expected):
    column = Column.fit("thickness", values)
    assert (column.low, column.high) == expected
    assert not column.outside(values)


@pytest.mark.parametrize("age", [999, -1, "-9", "9999"])
def test_what_cannot_be_an_age_is_refused(schema, age):
    with pytest.raises(InputError, match=f"{age} cannot be an age in years"):
        Column.fit("age", [25, 30, age])
    with pytest.raises(InputError, match=f"age={age}: expected a number of years"):
        schema.check([{"age": age}])


def test_a_category_may_be_requested_in_other_words(schema):
    words = ("F", "f", "female", " FEMALE ", "woman")
    assert {float(schema.encode([{"sex": word}])[0, 1]) for word in words} == {0}
    column = Column("site", "category", categories=("Guys", "guys", "HH"))
    assert [column.encode(site) for site in ("guys", "hh")] == [1, 2]
    with pytest.raises(InputError, match="site=GUYS"):
        column.encode("GUYS")


def test_categories_with_signs_can_be_swept_and_requested():
    names = ("none", "grade 2, left", "a:b", "c")
    schema = ConditionSchema(
        (Column("tumor", "category", categories=names), Column("x"))
    )
    assert schema.parse_sweep(["tumor=a:b,grade 2, left,c"]) == {
        "tumor": ["a:b", "grade 2, left", "c"]
    }
    assert schema.parse("tumor=grade 2, left x=0.5") == {
        "tumor": "grade 2, left",
        "x": 0.5,
    }


@pytest.mark.parametrize(
    "config",
    [{}, [], {"columns": [{"kind": "number"}]}, {"columns": [{"name": "a", "unit": 1}]}]
    + [{"columns": 3}, {"columns": ["age"]}],
)
def test_a_configuration_of_something_else_is_refused(config):
    with pytest.raises(InputError, match="conditions .* expected columns"):
        ConditionSchema.from_config(config)
