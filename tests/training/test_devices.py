"""Two devices share a batch and learn what one does."""

import json
import os
from pathlib import Path
import subprocess
import sys

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.training import TrainingSettings, building, devices
from dipy_synth.training.devices import (
    EqualShares,
    count_devices,
    resolve_precision,
)

# The clip is below the gradients' norm: it must see the joint one. 6 rows to validate
# leave a batch of 2, and a kill comes in the third epoch.
SCRIPT = """
import json
import sys

sys.path.insert(0, sys.argv[1])
import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)
from conftest import Kill, Killed, Line, fit_line, weights_of


def fit(name, devices, **more):
    model, history = fit_line(
        f"{sys.argv[2]}/{name}",
        validation=Line(4, rows=6, shuffle=False),
        devices=devices,
        clip_norm=0.05,
        **more,
    )
    metrics = [[row["loss"], row["val_loss"]] for row in history]
    return [*weights_of(model).tolist(), *sum(metrics, [])]


found = {"one": fit("one", 1), "two": fit("two", 2)}
try:
    fit("killed", -1, callbacks=[Kill()])
except Killed:
    found["resumed"] = fit("killed", -1)
print(json.dumps(found))
"""


TWO = "--xla_force_host_platform_device_count=2"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Train on one and on two logical CPU devices, in a process that has two."""
    here, there = Path(__file__).parent, tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(here), str(there)],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": TWO},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


needs_devices = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="several devices: not on torch"
)


@needs_devices
def test_two_devices_learn_as_one(found):
    np.testing.assert_allclose(found["two"], found["one"], atol=1e-6)


@needs_devices
def test_a_killed_run_on_two_devices_ends_as_an_uninterrupted_one(found):
    np.testing.assert_array_equal(found["resumed"], found["two"])


def test_short_batches_are_filled_with_their_own_rows(line):
    data = EqualShares(line.Data(4, rows=6, shuffle=False), 4)
    (x, y), (short, _) = data[0], line.Data(4, rows=6, shuffle=False)[1]
    assert len(data) == 2 and len(x) == len(y) == 4
    np.testing.assert_array_equal(data[1][0], np.concatenate([short, short]))


def test_devices_that_are_not_there_are_reported():
    with pytest.raises(InputError, match="devices 99: (there are|expected 1)"):
        count_devices(TrainingSettings(devices=99))


@pytest.mark.parametrize(
    "backend, options, message",
    [
        ("jax", {"batch_size": 3}, "batch_size 3: expected a multiple of the 2"),
        ("torch", {}, "torch backend; several devices are for TensorFlow and JAX"),
        ("tensorflow", {"batch_size": 2, "accumulation": 2}, "accumulation 2"),
    ],
)
def test_what_devices_cannot_do_is_reported(backend, options, message, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    there = ["cpu:0", "cpu:1"]
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: there)
    with pytest.raises(InputError, match=message):
        count_devices(TrainingSettings(devices=-1, **options))


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("GenuineIntel", "avx512f avx512_bf16 amx_tile", "float32"),
        ("GenuineIntel", "avx512f amx_bf16 amx_tile", "mixed_bfloat16"),
        ("AuthenticAMD", "avx512f avx512_bf16", "mixed_bfloat16"),
        ("AuthenticAMD", "avx512f", "float32"),
        (None, None, "float32"),  # no such file
    ],
)
def test_auto_is_the_faster_precision_of_the_processor(
    vendor, flags, expected, monkeypatch, tmp_path
):
    monkeypatch.delenv("DIPY_SYNTH_PRECISION", raising=False)
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    if flags:
        (tmp_path / "cpuinfo").write_text(
            f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n"
        )
    assert resolve_precision() == expected
    assert resolve_precision("mixed_float16") == "mixed_float16"
    with building(TrainingSettings()):
        assert keras.config.dtype_policy().name == expected


def test_the_environment_sets_what_auto_is(monkeypatch):
    monkeypatch.setenv("DIPY_SYNTH_PRECISION", "mixed_bfloat16")
    assert resolve_precision() == "mixed_bfloat16"
    assert resolve_precision("float32") == "float32"
    monkeypatch.setenv("DIPY_SYNTH_PRECISION", "mixed_float16")
    with pytest.raises(InputError, match="DIPY_SYNTH_PRECISION 'mixed_float16'"):
        resolve_precision()
