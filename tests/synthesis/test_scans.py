"""Scans one by one: what is made, what was there, and what fails."""

import logging

from dipy_synth.errors import InputError
from dipy_synth.synthesis.scans import each_scan


def test_a_scan_that_fails_is_neither_made_nor_was_there(caplog):
    def work(key):
        if key == "bad":
            raise InputError("expected a brain")
        return key == "new"

    with caplog.at_level(logging.INFO, logger="dipy"):
        problems, made = each_scan(work, ["new", "bad", "old"], desc="edited scans")
    assert problems == {"new": None, "bad": "bad: expected a brain", "old": None}
    assert made == 1
    assert "edited scans: 1 made, 1 were there" in caplog.messages
