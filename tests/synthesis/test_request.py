"""Requests: who is asked for what, and tables of participants read."""

from dataclasses import replace
import json

import numpy as np
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.synthesis.generate import synthesize
from dipy_synth.synthesis.request import Request, read_matched_participants
from dipy_synth.utils.tables import write_table

ROWS = (
    {"participant_id": "sub-a", "sex": "F"},
    {"participant_id": "sub-b", "sex": None},
)


@pytest.fixture
def schema():
    sex = Column("sex", "category", categories=("F", "M"))
    return ConditionSchema((Column("age", low=20, high=80), sex))


def asked(request, n=None):
    samples = [request.sample(i) for i in range(request.count(n))]
    return [(each["SampleNumber"], each["Conditions"]) for each in samples]


def test_samples_have_noise_of_their_own():
    assert asked(Request(conditions={"age": 7}), 2) == [
        (0, {"age": 7}),
        (1, {"age": 7}),
    ]
    assert asked(Request()) == [(0, {})]


def test_a_sweep_goes_through_values_sample_by_sample():
    swept = Request(sweep={"age": (1, 2)})
    first = [(0, {"age": 1}), (0, {"age": 2})]
    assert asked(swept) == first
    assert asked(swept, 2) == [*first, (1, {"age": 1}), (1, {"age": 2})]
    both = Request(sweep={"age": (1, 2), "sex": "FM"})
    assert [tuple(row.values()) for _, row in asked(both)] == [
        (1, "F"),
        (1, "M"),
        (2, "F"),
        (2, "M"),
    ]


def test_participants_are_matched_and_may_be_swept():
    matched = Request(participants=ROWS, conditions={"age": 7})
    assert asked(matched) == [
        (0, {"age": 7, "sex": "F"}),
        (1, {"age": 7, "sex": None}),
    ]
    assert matched.sample(1)["MatchedId"] == "sub-b"
    nothing_known = Request(participants=[{"age": 30}, {}])
    assert not any("MatchedId" in nothing_known.sample(i) for i in (0, 1))
    swept = asked(Request(participants=ROWS, sweep={"age": (1, 2)}))
    assert [(number, row["age"]) for number, row in swept] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]
    with pytest.raises(InputError, match="has 2 rows"):
        matched.count(3)


def test_a_cohort_has_a_limit_that_is_checked_before_anything_is_made():
    for request, n in ((Request(), 10**20), (Request(sweep={"age": (1, 2)}), 600_000)):
        with pytest.raises(InputError, match=f"n_samples {n}: .* 1000000 or fewer"):
            request.count(n)
    assert Request().count(10**6) == 10**6


def test_ids_are_kept_of_a_table_only(tmp_path):
    with pytest.raises(InputError, match="keep_ids without participants"):
        synthesize("mnist", tmp_path / "out", keep_ids=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"conditions": {"sex": "F"}, "participants": ROWS},
        {"conditions": {"sex": "F"}, "sweep": {"sex": "FM"}},
        {"participants": ROWS, "sweep": {"sex": "FM"}},
        {"sweep": {"age": []}},
    ],
)
def test_a_condition_is_requested_in_one_way(wrong):
    with pytest.raises(InputError, match="expected"):
        Request(**wrong)


def test_what_is_open_is_filled_and_what_is_set_stays():
    defaults = {
        "steps": 12,
        "sampler": "heun",
        "guidance": 1.5,
        "guidance_rescale": 0.7,
    }
    request = Request(sampling=SamplingSettings(steps=3, guidance=0.0))
    filled = request.completed(defaults).sampling
    given = {"steps": 3, "sampler": "heun", "guidance": 0.0, "guidance_rescale": 0.7}
    assert filled == SamplingSettings(**given)
    assert replace(request, sampling=filled) == request.completed(defaults)


def test_a_request_is_described_in_json():
    request = Request(
        participants=ROWS,
        sweep={"age": (1, 2)},
        sampling=SamplingSettings(guidance_rescale=0.5),
    )
    config = request.to_config()
    assert json.loads(json.dumps(config)) == config
    assert config["Sweep"] == {"age": [1, 2]}
    assert config["GuidanceRescale"] == 0.5


def test_numbers_of_numpy_and_missing_values_are_described_in_json_too():
    given = Request(
        conditions={"age": np.float32(70)},
        participants=({"participant_id": "sub-a", "sex": float("nan")},),
        sweep={"height": np.array([150, 190])},
    )
    plain = Request(
        conditions={"age": 70.0},
        participants=({"participant_id": "sub-a", "sex": None},),
        sweep={"height": [150, 190]},
    )
    assert given == plain and given.sample(1) == plain.sample(1)
    assert json.loads(json.dumps(given.to_config())) == plain.to_config()


def test_a_table_gives_what_the_model_knows(tmp_path, schema, caplog):
    path = tmp_path / "cohort.tsv"
    write_table(
        path,
        [
            {"participant_id": "sub-a", "age": 30, "hand": "left", "sex": "F"},
            {"participant_id": "sub-b", "age": None, "hand": "right", "sex": "M"},
        ],
    )
    with caplog.at_level("INFO", logger="dipy"):
        rows = read_matched_participants(path, schema, keep_ids=True)
    assert rows == [
        {"participant_id": "sub-a", "age": 30, "sex": "F"},
        {"participant_id": "sub-b", "age": None, "sex": "M"},
    ]
    assert "ignored, no conditions: hand" in caplog.text


def test_who_is_matched_is_written_only_if_requested(tmp_path, schema):
    path = tmp_path / "cohort.tsv"
    table = [
        {"participant_id": "sub-a", "age": 30.27, "sex": "F"},
        {"participant_id": "sub-b", "age": None, "sex": "M"},
    ]
    write_table(path, table)
    rows = read_matched_participants(path, schema)
    assert rows == [{"age": 30, "sex": "F"}, {"age": None, "sex": "M"}]
    assert "MatchedId" not in Request(participants=rows).sample(0)
    named = read_matched_participants(path, schema, keep_ids=True)
    assert named[0] == {"participant_id": "sub-a", "age": 30.27, "sex": "F"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("participant_id\tage\n", "no row"),
        ("participant_id\thand\nsub-a\tleft\n", "a condition of the model: age, sex"),
        ("sex\nF\nX\n", "row 2: condition sex=X: expected one of F, M"),
    ],
)
def test_a_table_that_cannot_be_matched_is_reported(tmp_path, schema, text, message):
    (tmp_path / "cohort.tsv").write_text(text)
    with pytest.raises(InputError, match=f"cohort.tsv.*{message}"):
        read_matched_participants(tmp_path / "cohort.tsv", schema)


@pytest.mark.parametrize(
    "text",
    [
        "Participant ID;AGE;Sex\nsub-a;30,5;female\nsub-b;25Y;n.a.\n",
        "participant_id,age,sex\nsub-a, 30.5 ,f\nsub-b,25 years,unknown\n",
        'participant_id\tage\tsex\nsub-a\t"30.5"\tF\nsub-b\t25\tNA\n',
    ],
)
def test_tables_to_match_are_read_as_those_of_a_study(tmp_path, schema, text):
    (tmp_path / "cohort.txt").write_text(text)
    path = tmp_path / "cohort.txt"
    assert read_matched_participants(path, schema, keep_ids=True) == [
        {"participant_id": "sub-a", "age": 30.5, "sex": "F"},
        {"participant_id": "sub-b", "age": 25, "sex": None},
    ]


def test_what_cannot_be_an_age_is_missing_and_reported(tmp_path, schema, caplog):
    (tmp_path / "cohort.tsv").write_text("age\n999\n>79\n")
    with caplog.at_level("INFO", logger="dipy"):
        rows = read_matched_participants(tmp_path / "cohort.tsv", schema)
    assert [row["age"] for row in rows] == [None, 79]
    assert "999 cannot be an age" in caplog.text
    assert "no column, so dropped: sex" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sex\n0\n1\n", "row 1: condition sex=0: expected one of F, M"),
        ("age\n30\nthirty\n", "row 2: condition age=thirty: expected a number"),
        ("age,sex\n30,5,F\n", "line 2: 3 cells, expected 2"),
    ],
)
def test_rows_that_are_not_understood_are_named(tmp_path, schema, text, message):
    (tmp_path / "cohort.tsv").write_text(text)
    with pytest.raises(InputError, match=f"cohort.tsv.*{message}"):
        read_matched_participants(tmp_path / "cohort.tsv", schema)


def test_a_condition_in_another_case_is_the_same_column(tmp_path):
    schema = ConditionSchema((Column("Tumor", "category", categories=("none", "big")),))
    (tmp_path / "cohort.tsv").write_text("participant_id\ttumor\nsub-a\tBig\n")
    (row,) = read_matched_participants(tmp_path / "cohort.tsv", schema)
    assert row["Tumor"] == "big" and schema.encode([row])[0, 0] == 1


def test_a_table_to_match_has_its_data_dictionary_beside(tmp_path, schema):
    (tmp_path / "cohort.tsv").write_text("AGE\tsex\n600\t1\n")
    dictionary = {"age": {"Units": "months"}, "Sex": {"Levels": {"1": "male"}}}
    (tmp_path / "cohort.json").write_text(json.dumps(dictionary))
    rows = read_matched_participants(tmp_path / "cohort.tsv", schema)
    assert rows == [{"age": 50, "sex": "M"}]


def test_columns_of_one_condition_are_refused(tmp_path, schema):
    (tmp_path / "cohort.tsv").write_text("sex\tSEXE\tAge\nF\tM\t30\n")
    assert read_matched_participants(tmp_path / "cohort.tsv", schema)
    site = ConditionSchema((Column("site", "category", categories=("a", "b")),))
    (tmp_path / "cohort.tsv").write_text("Site\tSITE\na\tb\n")
    with pytest.raises(InputError, match="cohort.tsv: Site, SITE may each be the"):
        read_matched_participants(tmp_path / "cohort.tsv", site)


def test_ages_and_sexes_by_other_names_are_the_conditions(tmp_path, schema, caplog):
    (tmp_path / "cohort.tsv").write_text("Age (years)\tGender\n30\tfemale\n")
    with caplog.at_level("INFO", logger="dipy"):
        rows = read_matched_participants(tmp_path / "cohort.tsv", schema)
    assert rows == [{"age": 30, "sex": "F"}]
    assert "Age (years) is read as the condition age" in caplog.text
    (tmp_path / "cohort.tsv").write_text("age_at_scan\tage_at_onset\n30\t20\n")
    with pytest.raises(InputError, match="age_at_scan, age_at_onset may each be the"):
        read_matched_participants(tmp_path / "cohort.tsv", schema)


def test_a_row_of_missing_values_is_a_sample(tmp_path, schema):
    (tmp_path / "cohort.tsv").write_text("age\tsex\n30\tF\nn/a\tn/a\n\t\n40\tM\n")
    rows = read_matched_participants(tmp_path / "cohort.tsv", schema)
    assert [row["age"] for row in rows] == [30, None, 40]
