"""The training engine: averages, settings, and runs that go wrong."""

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.training import (
    AveragingAdamW,
    TrainingSettings,
    building,
    start_anew,
    train,
)


class Line(keras.utils.PyDataset):
    """y = 2 x, in 4 batches."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.epoch, self.scale = 0, scale

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = np.random.default_rng(index).random((8, 1)).astype("float32")
        return x, 2 * x * self.scale


def line_model(settings):
    with building(settings):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.get_config = lambda: {"units": 1}
    return model


def test_training_learns_and_writes_its_history(tmp_path):
    settings = TrainingSettings(epochs=30, learning_rate=0.1, weight_decay=0)
    model = line_model(settings)
    history = train(model, Line(), run_dir=tmp_path, settings=settings, loss="mse")
    assert history[-1]["loss"] < 0.05 * history[0]["loss"]
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert len(lines) == 31 and lines[0] == "epoch,loss,seconds"


def test_the_average_follows_its_formula():
    variable = keras.Variable(np.zeros(1, "float32"))
    optimizer = AveragingAdamW(0.1, average=0.3, weight_decay=0)
    optimizer.build([variable])
    average, live = None, []
    for step in range(6):
        optimizer.apply([keras.ops.ones(1)], [variable])
        live.append(float(np.asarray(variable)[0]))
        momentum = min(0.3, (1 + step) / (10 + step)) if step else 0.0
        average = (
            live[-1] if step == 0 else momentum * average + (1 - momentum) * live[-1]
        )
    assert float(optimizer.averaged()[0][0]) == pytest.approx(average, rel=1e-5)
    optimizer.finalize_variable_values([variable])
    assert float(np.asarray(variable)[0]) == live[-1]


def test_a_loss_that_is_not_finite_stops_the_run_and_says_so(tmp_path):
    settings = TrainingSettings(epochs=2)
    with pytest.raises(FloatingPointError, match="Lower the learning rate"):
        train(
            line_model(settings),
            Line(scale=np.inf),
            run_dir=tmp_path,
            settings=settings,
            loss="mse",
        )
    assert not (tmp_path / "state.npz").exists()


def test_starting_anew_takes_other_settings(tmp_path):
    first, second = TrainingSettings(epochs=1), TrainingSettings(epochs=1, seed=7)
    train(line_model(first), Line(), run_dir=tmp_path, settings=first, loss="mse")
    with pytest.raises(InputError, match="seed: 0 there, 7 asked for"):
        train(line_model(second), Line(), run_dir=tmp_path, settings=second, loss="mse")
    start_anew(tmp_path)
    train(line_model(second), Line(), run_dir=tmp_path, settings=second, loss="mse")


def test_seed_and_precision_hold_while_building_only():
    settings = TrainingSettings(seed=3, precision="mixed_bfloat16")
    kernels = []
    for _ in range(2):
        model = line_model(settings)
        assert model.layers[0].compute_dtype == "bfloat16"
        kernels.append(np.asarray(model.layers[0].kernel))
    np.testing.assert_array_equal(*kernels)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"precision": "double"}, "mixed_bfloat16"), ({"epochs": 0}, "above 0")],
)
def test_wrong_settings_are_told(wrong, told):
    with pytest.raises(InputError, match=told):
        TrainingSettings(**wrong)
