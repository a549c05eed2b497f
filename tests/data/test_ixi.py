"""IXI's table: rows as they come, and the spreadsheet."""

import logging
import math
from pathlib import Path
import sys

import pytest

from dipy_synth.data.ixi import ages_and_sexes, read_ixi_table
from dipy_synth.errors import InputError

SEX = "SEX_ID (1=m, 2=f)"
ROWS = [  # numbers of a spreadsheet, words of a text
    {"IXI_ID": 2, SEX: 2, "HEIGHT": 164, "AGE": 35.800136892},
    {"IXI_ID": "12", SEX: "1", "HEIGHT": "", "AGE": "38.78"},
    {"IXI_ID": 13.0, SEX: math.nan, "HEIGHT": 0, "AGE": 0},
    {"IXI_ID": 14, SEX: 3, "HEIGHT": 0, "AGE": -1},
    {"IXI_ID": math.nan, SEX: math.nan, "HEIGHT": math.nan, "AGE": math.nan},
    {"IXI_ID": 15, SEX: 1, "HEIGHT": 0, "AGE": None},
    {"IXI_ID": 15, SEX: 1, "HEIGHT": 0, "AGE": 60.5},  # fills the row above
    {"IXI_ID": 16, SEX: 1, "HEIGHT": 0, "AGE": 60.5},
    {"IXI_ID": 16, SEX: 1, "HEIGHT": 0, "AGE": 20},  # contradicts it
]
EXPECTED = {
    "IXI002": {"age": "35.80", "sex": "F"},
    "IXI012": {"age": "38.78", "sex": "M"},
    "IXI013": {"age": None, "sex": None},
    "IXI014": {"age": None, "sex": None},
    "IXI015": {"age": "60.50", "sex": "M"},
    "IXI016": {"age": None, "sex": "M"},
}


def write_xls(path, rows):
    book = pytest.importorskip("xlwt").Workbook()
    sheet = book.add_sheet("Table")
    for column, name in enumerate(rows[0]):
        sheet.write(0, column, name)
        for number, row in enumerate(rows, 1):
            if row[name] is not None and row[name] == row[name]:
                sheet.write(number, column, row[name])
    book.save(str(path))


def test_rows_of_one_subject_are_one_and_contradictions_are_reported(caplog):
    with caplog.at_level(logging.WARNING, logger="dipy"):
        assert ages_and_sexes(ROWS, Path("IXI.xls")) == EXPECTED
    impossible, message = caplog.messages
    assert "age -1, sex 3 of IXI014" in impossible
    assert "IXI.xls: IXI016 has age 60.50 and 20.00" in message


@pytest.mark.parametrize(
    "row",
    [
        {"subject": 2, "years": 35},
        {**ROWS[0], "AGE": "old"},
        {**ROWS[0], "IXI_ID": "x"},
    ],
)
def test_other_columns_or_words_are_reported(row):
    with pytest.raises(InputError, match="IXI.csv: expected the columns IXI_ID"):
        ages_and_sexes([row], Path("IXI.csv"))


def test_the_spreadsheet_is_read_beside_the_scans_or_above(tmp_path):
    pytest.importorskip("xlrd")
    (tmp_path / "IXI-T1").mkdir()
    write_xls(tmp_path / "IXI.xls", ROWS)
    assert read_ixi_table(tmp_path) == read_ixi_table(tmp_path / "IXI-T1") == EXPECTED
    (tmp_path / "IXI.csv").write_text(f'IXI_ID,"{SEX}",AGE\n2,1,20\n')
    assert read_ixi_table(tmp_path) == {"IXI002": {"age": "20.00", "sex": "M"}}


def test_a_spreadsheet_with_two_columns_of_one_name_is_not_read_in_part(tmp_path):
    rows = [{"IXI_ID": 2, SEX: 2, "AGE": 35.8, "AGE ": 35.8}]
    write_xls(tmp_path / "IXI.xls", rows)
    assert read_ixi_table(tmp_path) == {"IXI002": {"age": "35.80", "sex": "F"}}
    write_xls(tmp_path / "IXI.xls", [*rows, {**rows[0], "AGE ": 60}])
    with pytest.raises(InputError, match="IXI.xls, line 3: 35.8 and 60.0 in two.*AGE"):
        read_ixi_table(tmp_path)


def test_a_table_in_another_encoding_is_reported(tmp_path):
    (tmp_path / "IXI.csv").write_bytes('IXI_ID,"SEX",AGE,Städte\n'.encode("latin-1"))
    with pytest.raises(InputError, match="IXI.csv: not a UTF-8 text"):
        read_ixi_table(tmp_path)


def test_a_damaged_spreadsheet_is_reported(tmp_path):
    pytest.importorskip("xlrd")
    for content in (b"<html>not found</html>", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1x"):
        (tmp_path / "IXI.xls").write_bytes(content)
        with pytest.raises(InputError, match="IXI.xls: not a spreadsheet.*IXI.csv"):
            read_ixi_table(tmp_path)


def test_what_reads_spreadsheets_may_be_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xlrd", None)
    (tmp_path / "IXI.xls").touch()
    with pytest.raises(InputError, match=r"xlrd .*dipy_synth\[ixi\].* IXI.csv beside"):
        read_ixi_table(tmp_path)


def test_without_a_table_there_are_no_covariates(tmp_path):
    assert read_ixi_table(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("IXI_ID,SEX_ID,HEIGHT,AGE\n2,2,164,5,35.8\n", "line 2: 5 cells, expected 4"),
        ("IXI_ID,SEX_ID,AGE\n2,2,35,80\n", "line 2: 4 cells, expected 3"),
        ("IXI_ID,SEX_ID,AGE\n2,2\n", "line 2: 2 cells, expected 3"),
        ("IXI_ID,SEX_ID,AGE,AGE\n2,2,35.8,40\n", "35.8 and 40 in two columns"),
        ("IXI_ID,SEX_ID,SEX_ID (1=m),AGE\n2,2,1,40\n", "one column each"),
    ],
)
def test_a_table_that_is_not_rectangular_or_clear_is_refused(tmp_path, text, message):
    (tmp_path / "IXI.csv").write_text(text)
    with pytest.raises(InputError, match=f"IXI.csv.*{message}"):
        read_ixi_table(tmp_path)


@pytest.mark.parametrize("name", ["IXI.csv", "ixi.CSV", "Ixi.tsv"])
def test_a_text_is_read_as_all_tables_are_under_its_name_in_any_case(tmp_path, name):
    (tmp_path / name).write_text('IXI_ID;SEX_ID;AGE;NOTE\n2;2;35,8;"lefty\n12;1;40;\n')
    assert read_ixi_table(tmp_path) == {
        "IXI002": {"age": "35.80", "sex": "F"},
        "IXI012": {"age": "40.00", "sex": "M"},
    }


def test_impossible_ages_and_sexes_are_missing_and_named(caplog):
    rows = [{"IXI_ID": 2, SEX: 3, "AGE": 999}, {"IXI_ID": 3, SEX: 1, "AGE": 30}]
    found = ages_and_sexes(rows, Path("IXI.csv"))
    assert found["IXI002"] == {"age": None, "sex": None}
    assert caplog.messages == ["IXI.csv: age 999, sex 3 of IXI002, taken as missing"]
