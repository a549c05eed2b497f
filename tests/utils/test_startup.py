"""The start of Keras is silent, what goes wrong in it is not, and stderr comes back."""

import os
import subprocess
import sys

QUIET = """
import os, sys
from dipy_synth.utils.startup import quiet_descriptor
try:
    with quiet_descriptor():
        os.write(2, b"from C++\\n")
        {inside}
except ValueError as error:
    print("caught", error)
os.write(2, b"after\\n")
print("end", file=sys.stderr)
"""
FIT = """
import sys
from dipy_synth.utils.startup import start_keras
start_keras()
import keras, numpy as np
model = keras.Sequential([keras.Input((4, 4, 4, 1)), keras.layers.Conv3D(1, 3)])
model.compile("adam", "mse")
model.fit(np.zeros((2, 4, 4, 4, 1)), np.zeros((2, 2, 2, 2, 1)), verbose=0)
print("end", file=sys.stderr)
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_what_is_written_inside_is_kept_away_and_stderr_comes_back():
    done = run(QUIET.format(inside="pass"))
    assert done.stderr.splitlines() == ["after", "end"]


def test_what_was_written_before_an_error_is_shown():
    done = run(QUIET.format(inside="raise ValueError('broken')"))
    assert done.stderr.splitlines() == ["from C++", "after", "end"]
    assert done.stdout == "caught broken\n"


def test_a_crash_is_reported():
    done = run(QUIET.format(inside="os.abort()"))
    assert done.returncode != 0
    assert "Fatal Python error: Aborted" in done.stderr


def test_keras_starts_and_trains_without_a_line():
    done = run(FIT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "end\n"
