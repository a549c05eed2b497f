"""Tables as BIDS has them, and as spreadsheets and other programs write them."""

import pytest

from dipy_synth.errors import InputError
from dipy_synth.utils.tables import known_name, read_table, write_table


def test_table_round_trip(tmp_path):
    rows = [
        {"participant_id": "sub-01", "age": "34.5", "note": 'a "b", c'},
        {"participant_id": "sub-02", "age": None, "note": "é"},
    ]
    path = tmp_path / "participants.tsv"
    write_table(path, rows)
    assert read_table(path) == rows


def test_table_is_tab_separated_with_na_where_empty(tmp_path):
    path = tmp_path / "participants.tsv"
    write_table(path, [{"id": "a", "age": 30}, {"id": "b", "sex": ""}])
    assert path.read_bytes() == b"id\tage\tsex\na\t30\tn/a\nb\tn/a\tn/a\n"


def test_read_table_as_other_programs_write_it(tmp_path):
    """A byte-order mark, Windows line ends, a blank last line, an empty cell."""
    path = tmp_path / "participants.tsv"
    path.write_bytes(b"\xef\xbb\xbfid\tage\r\na\tn/a\r\nb\t\r\n\r\n")
    assert read_table(path) == [{"id": "a", "age": None}, {"id": "b", "age": None}]


@pytest.mark.parametrize("cells", ["a", "a\t30\tF"])
def test_read_table_names_the_line_of_another_length(tmp_path, cells):
    path = tmp_path / "participants.tsv"
    path.write_text(f"id\tage\nb\t20\n{cells}\n")
    with pytest.raises(InputError, match=r"participants.tsv, line 3: .* expected 2"):
        read_table(path)


@pytest.mark.parametrize("content", [None, "", "\n\n"])
def test_read_table_names_an_absent_or_empty_file(tmp_path, content):
    path = tmp_path / "participants.tsv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match="participants.tsv: (no such file|empty)"):
        read_table(path)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(InputError, match=r"a folder \(expected a table\)"):
        read_table(tmp_path)


def test_table_errors_tell_the_line_as_an_editor_counts_it(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\n\nsub-01\t30\nsub-02\n")
    with pytest.raises(InputError, match="line 4: 1 cells, expected 2"):
        read_table(path)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_bytes("participant_id\tort\nsub-01\tKöln\n".encode("latin-1"))
    with pytest.raises(InputError, match="not a UTF-8 text"):
        read_table(path)


def test_two_columns_of_one_name_agree_or_are_refused(table):
    path = table("id\tage\tAge\n1\t30\t30\n2\tn/a\t40\n3\t50\t\n")
    assert [row["age"] for row in read_table(path)] == ["30", "40", "50"]
    path = table("id\tage\tAGE\n1\t30\t30\n2\t40\t41\n")
    with pytest.raises(InputError, match="line 3: 40 and 41 in two columns.*, age;"):
        read_table(path)


@pytest.mark.parametrize(
    "text", ["id;;age;;\n1;x;30;;\n", "sep=;\nid;age\n1;30\n", "SEP=\nid;age\n1;30\n"]
)
def test_what_excel_adds_is_no_column_and_no_row(table, text):
    assert read_table(table(text)) == [{"id": "1", "age": "30"}]


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a table, text or bytes, and returns its path."""

    def write(content):
        path = tmp_path / "participants.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


ROW = {"participant_id": "sub-01", "age": "25", "sex": "F"}


@pytest.mark.parametrize(
    "text",
    [
        "participant_id,age,sex\nsub-01,25,F\n",
        "participant_id;age;sex\nsub-01;25;F\n",
        "participant_id  age  sex\nsub-01  25  F\n",
        " Participant_ID \t AGE \t Sex\n sub-01 \t25 \t F\n",
        "Participant ID\tage\tsex\t\nsub-01\t25\tF\t\n\t\t\t\n",
        "participant_id\u00a0\tage\tsex\nsub-01\u200b\t25\tF\n",
        "participant_id\rage\r".replace("\rage\r", "\tage\tsex\rsub-01\t25\tF\r"),
        'participant_id,"age",sex\n"sub-01",25,"F"\n',
        ",participant_id,age,sex\n0,sub-01,25,F\n",
        "participant_id\tAge\tsex\nparticipant_id\tage\tsex\nsub-01\t25\tF\n",
        "participant_id\tage\tsex\nsub-01\t25\tF\n".encode("utf-16"),
    ],
)
def test_a_table_is_read_whatever_wrote_it(table, text):
    assert read_table(table(text)) == [ROW]


def test_a_decimal_comma_is_no_separator(table):
    path = table("participant_id;age\nsub-01;25,5\nsub-02;30,1\n")
    assert [row["age"] for row in read_table(path)] == ["25,5", "30,1"]
    with pytest.raises(InputError, match="line 2: 3 cells, expected 2 .* by commas"):
        read_table(table("participant_id,age\nsub-01,25,5\n"))


@pytest.mark.parametrize("note", ['"lefty', 'left"y', '"left" y', '"', 'a "b'])
def test_a_quotation_mark_does_not_swallow_the_rows_below(table, note):
    path = table(f'participant_id\tage\tnote\nsub-01\t25\t{note}\nsub-02\t67\tok"\n')
    first, second = read_table(path)
    assert first["note"] == note and second["age"] == "67"


def test_quotation_marks_that_open_and_close_hold_separators(table):
    path = table('participant_id,age,note\nsub-01,25,"a, ""b"""\n')
    assert read_table(path)[0]["note"] == 'a, "b"'


@pytest.mark.parametrize(
    "word", ["n/a", "NA", "nan", "N/A", "unknown", " ", "-", "#N/A"]
)
def test_words_for_missing_are_none(table, word):
    (row,) = read_table(table(f"participant_id\tsex\nsub-01\t{word}\n"))
    assert row["sex"] is None


def test_columns_that_lack_are_named_in_one_line(table):
    path = table("subject\tage\nsub-01\t25\n")
    with pytest.raises(InputError, match="no column participant_id; .* subject, age"):
        read_table(path, needed=["participant_id"])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"/annex/objects/MD5E-s1--0.tsv\n", "datalad get"),
        (b"PK\x03\x04\0\0", "a spreadsheet"),
    ],
)
def test_what_is_no_table_is_named(table, content, match):
    with pytest.raises(InputError, match=match):
        read_table(table(content))


def test_a_broken_link_is_to_be_fetched(tmp_path):
    (tmp_path / "participants.tsv").symlink_to(".git/annex/objects/none.tsv")
    with pytest.raises(InputError, match="fetch it first .*datalad get"):
        read_table(tmp_path / "participants.tsv")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Participant_ID", "participant_id"),
        ("participantId", "participant_id"),
        (" AGE ", "age"),
        ("Age at scan", "Age at scan"),
    ],
)
def test_known_columns_in_any_spelling(name, known):
    assert known_name(name) == known


def test_a_trailing_tab_does_not_make_blanks_the_separator(table):
    path = table("participant_id\tage\tweight\tnote\na\t25\t7\tok\t\nb\t\t6\tso so\n")
    rows = read_table(path)
    assert [row["age"] for row in rows] == ["25", None]
    assert rows[1]["note"] == "so so"
