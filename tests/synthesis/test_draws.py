"""Draws that a QC filter looks at: counted, shown, and their time estimated."""

import logging

import pytest

from dipy_synth.metrics.verdicts import count_reasons
from dipy_synth.synthesis.draws import Draws

BAD, WORSE = "brain volume in mL: 3; real 1000", "symmetry: 0; real 1"


def test_draws_are_counted_and_most_frequent_reason_is_named():
    shown = []
    draws = Draws(3, most=20, show=shown.append)
    draws.add([[BAD], [], [BAD, WORSE]])
    draws.add([[WORSE], [BAD]])
    draws.add([[]])
    assert shown[0] == "3 draws, 1 kept; most fail by brain volume in mL (2)"
    assert shown[-1] == "6 draws, 2 kept; most fail by brain volume in mL (3)"
    assert count_reasons([[WORSE], [BAD, WORSE]]) == {
        "symmetry": 2,
        "brain volume in mL": 1,
    }


@pytest.mark.parametrize(
    "seconds, words",
    [
        (8.0, "a draw takes 4 s; 10 volumes take 40 s if all pass, 13 min at most"),
        (240.0, "draw takes 2 min; 10 volumes take 20 min if all pass, 6.7 h at most"),
    ],
)
def test_the_time_is_estimated_once_by_the_first_draws(seconds, words, caplog):
    clock = iter([0.0, seconds])
    draws = Draws(10, most=20, clock=lambda: next(clock))
    with caplog.at_level(logging.INFO, "dipy"):
        draws.add([[], [BAD]])
        draws.add([[]])  # the clock is not asked again
    (message,) = [m for m in caplog.messages if "a draw takes" in m]
    assert words in message
