"""Progress bars: lines for a file, moving for a terminal, nothing of nothing."""

import io
import sys

import pytest

from dipy_synth.utils import progress
from dipy_synth.utils.progress import LogBar, progress_bar, volume_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_thousand_steps_into_a_file_are_two_lines(capsys):
    with progress_bar(range(1000), desc="scans", unit="scan") as bar:
        for _ in bar:
            pass
    text = capsys.readouterr().err
    first, last = text.splitlines()
    assert "\r" not in text and "scans:   0%" in first and "1000/1000" in last


def test_lines_come_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    with progress_bar(total=3, desc="scans", unit="scan") as bar:
        for _ in range(3):
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("|")[-1].split()[0] for line in lines] == [
        "0/3",
        "1/3",
        "2/3",
        "3/3",
    ]
    assert "<" in lines[1]  # the time left


def test_a_new_name_is_no_line_of_its_own():
    stream = io.StringIO()
    with LogBar(total=2, desc="first", file=stream) as bar:
        bar.set_description("second")
        bar.update(2)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("first") and last.startswith("second: 100%")


def test_a_terminal_has_a_bar_that_moves(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(total=2, desc="scans", unit="scan") as bar:
        bar.update(2)
    assert not isinstance(bar, LogBar) and "\rscans" in sys.stderr.getvalue()


@pytest.mark.parametrize("options", [{"total": 0}, {"total": 3, "shown": False}])
def test_nothing_to_do_and_not_shown_are_silent(options, capsys):
    with progress_bar(desc="scans", unit="scan", **options) as bar:
        bar.update(options["total"])
    assert capsys.readouterr().err == ""


def test_what_has_no_length_is_counted(capsys):
    with progress_bar(iter("abc"), desc="unpack", unit="file") as bar:
        assert [*bar] == [*"abc"]
    assert "3file" in capsys.readouterr().err


def test_volumes_move_by_shares_and_notes_are_shown(capsys):
    with volume_bar(2) as done:
        for _ in range(7):
            done(0.3)  # 2.1 in sum: no more than all
        done.note("12 draws, 2 kept")
    last = capsys.readouterr().err.splitlines()[-1]
    assert "2.0/2" in last and "12 draws, 2 kept" in last
