"""The training engine: averages, settings, early stop, and runs that go wrong."""

import importlib.util
import json

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    optimizer as optimizer_module,
    run_folder,
)
from dipy_synth.training.optimizer import AveragingAdamW, make_optimizer
from dipy_synth.utils.files import read_json


def test_training_learns_and_writes_its_history(line, tmp_path):
    _, history = line.fit(tmp_path, epochs=30, batch_size=4, weight_decay=0)
    assert history[-1]["loss"] < 0.05 * history[0]["loss"]
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert len(lines) == 31 and lines[0] == "epoch,loss,seconds"
    assert (tmp_path / "curves.png").stat().st_size > 0


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_an_optimizer_is_made_again_from_its_configuration(precision):
    settings = TrainingSettings(
        learning_rate=3e-3, accumulation=2, average=0.9, precision=precision
    )
    made = make_optimizer(settings, batches=100)
    config = keras.saving.serialize_keras_object(made)
    other = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(other) is type(made) and other.get_config() == made.get_config()
    inner = [getattr(one, "inner_optimizer", one) for one in (made, other)]
    assert [one.get_config()["average"] for one in inner] == [0.9, 0.9]


def test_the_average_follows_its_formula():
    variable = keras.Variable(np.full(1, 5, "float32"))
    optimizer = AveragingAdamW(0.1, average=0.3, weight_decay=0)
    optimizer.build([variable])
    average = 5.0
    for step in range(6):
        optimizer.apply([keras.ops.ones(1)], [variable])
        live = float(np.asarray(variable)[0])
        momentum = min(0.3, (1 + step) / (10 + step))
        average = momentum * average + (1 - momentum) * live
    assert float(optimizer.averaged()[0][0]) == pytest.approx(average, rel=1e-6)
    optimizer.finalize_variable_values([variable])
    assert float(np.asarray(variable)[0]) == live


def weights_of_many_sizes():
    """Make weights with gradients for four steps; the second block is one weight."""
    rng = np.random.default_rng(0)
    shapes = [(), (3, 2), (5,), (2, 2, 3), (4,)]
    gradients = [[rng.normal(size=s).astype("float32") for s in shapes] for _ in "1234"]
    return [
        keras.Variable(rng.normal(size=s), dtype="float32") for s in shapes
    ], gradients


@pytest.mark.parametrize("block", [1, 6, 12, 2**20])
def test_blocks_are_updated_as_keras_updates_weights(block, monkeypatch):
    monkeypatch.setattr(optimizer_module, "BLOCK", block)
    options = {"weight_decay": 0.1, "global_clipnorm": 1.5}
    found = []
    for make in (keras.optimizers.AdamW, AveragingAdamW):
        variables, gradients = weights_of_many_sizes()
        optimizer = make(0.05, **options)
        optimizer.build(variables)
        for step in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in step], variables)
        found.append([np.asarray(variable) for variable in variables])
    for ours, theirs in zip(*found[::-1]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_state_is_that_of_each_weight_whatever_the_blocks(precision, monkeypatch):
    """So states from before there were blocks are read: moments in turns, averages."""
    states = []
    for block in (1, 2**20):
        monkeypatch.setattr(optimizer_module, "BLOCK", block)
        variables, gradients = weights_of_many_sizes()
        settings = TrainingSettings(precision=precision, accumulation=2)
        optimizer = make_optimizer(settings, batches=9)
        optimizer.build(variables)
        if states:
            optimizer.set_state(states[0])
        else:
            for step in gradients:
                tensors = [keras.ops.convert_to_tensor(g) for g in step]
                optimizer.apply(tensors, variables)
        states.append(optimizer.state())
    assert len(states[0]) == len(states[1])
    for one, other in zip(*states):
        np.testing.assert_array_equal(one, other)
    shapes = [array.shape for array in states[0]]
    own = [variable.shape for variable in variables]
    moments = [shape for shape in own for _ in "mv"]
    assert shapes[-15:] == [*moments, *own] and np.abs(states[0][-1]).min() > 0


def test_a_weight_without_a_gradient_stands_still_without_decay():
    variables, gradients = weights_of_many_sizes()
    before = np.asarray(variables[1]).copy()
    optimizer = AveragingAdamW(0.1, weight_decay=0)
    optimizer.build(variables)
    tensors = [keras.ops.convert_to_tensor(g) for g in gradients[0]]
    tensors[1] = None
    with pytest.warns(UserWarning, match="do not exist"):
        optimizer.apply(tensors, variables)
    np.testing.assert_array_equal(variables[1], before)
    assert np.abs(np.asarray(variables[2]) - optimizer.averaged()[2]).max() > 0


def steps_of(settings, batches, gradients):
    """Apply gradients to a weight; give it and its average after each."""
    variable = keras.Variable(np.zeros(2, "float32"))
    optimizer = make_optimizer(settings, batches=batches)
    optimizer.build([variable])
    found = []
    for gradient in gradients:
        scaled = keras.ops.convert_to_numpy(optimizer.scale_loss(gradient))
        optimizer.apply([keras.ops.convert_to_tensor(scaled)], [variable])
        found.append([np.asarray(variable).copy(), optimizer.averaged()[0]])
    return np.array(found)


def test_an_update_of_two_batches_is_that_of_their_mean():
    """So rate, clip (below these gradients), decay and average count real updates."""
    gradients = np.random.default_rng(0).normal(0, 9, (12, 2)).astype("float32")
    options = {"clip_norm": 0.5, "warmup": 0.3, "weight_decay": 0.1}
    two = steps_of(TrainingSettings(accumulation=2, **options), 12, gradients)
    joint = gradients.reshape(6, 2, 2).mean(axis=1)
    one = steps_of(TrainingSettings(**options), 6, joint)
    np.testing.assert_allclose(two[1::2], one, rtol=1e-5)
    np.testing.assert_array_equal(two[2::2], two[1:-1:2])  # nothing moves between


def test_two_batches_of_one_learn_as_one_batch_of_two(line, tmp_path):
    small, _ = line.fit(tmp_path / "1", line.Data(1), accumulation=2)
    large, _ = line.fit(tmp_path / "2", line.Data(2))
    for one, other in zip(small.trainable_variables, large.trainable_variables):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=2e-6)


def test_float16_leaves_out_what_overflows_and_scales_the_rest():
    gradients = np.array([[np.inf, 1], [1e-9, 2e-9]], "float32")
    settings = TrainingSettings(precision="mixed_float16", warmup=0)
    (skipped, after), (_, average) = steps_of(settings, 9, gradients)
    np.testing.assert_array_equal([skipped, after], 0)
    plain = steps_of(TrainingSettings(warmup=0), 9, gradients[1:])
    np.testing.assert_allclose(average, plain[0, 1], rtol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_learns(precision, line, tmp_path):
    model, history = line.fit(tmp_path, epochs=12, batch_size=4, precision=precision)
    assert model.first.compute_dtype == precision.removeprefix("mixed_")
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]


def test_patience_keeps_the_averaged_weights_of_the_best_epoch(line, tmp_path):
    """The validation loss is that of the weights a run gives in the end."""
    validation, seen = line.Data(8, shuffle=False), []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with averaged_weights(self.model):
                seen.append([np.asarray(w) for w in self.model.trainable_variables])

    model, history = line.fit(
        tmp_path,
        validation=validation,
        callbacks=[Look()],
        epochs=20,
        patience=2,
        learning_rate=3.0,
        average=0.1,
    )
    best = 1 + int(np.argmin([row["val_loss"] for row in history]))
    assert 1 < best == len(history) - 2 < 18
    for weight, kept in zip(model.trainable_variables, seen[best - 1]):
        np.testing.assert_array_equal(np.asarray(weight), kept)
    loss = model.evaluate(validation, verbose=0)
    assert loss == pytest.approx(history[best - 1]["val_loss"], rel=0.05)


def test_patience_without_validation_or_its_metric_is_reported(line, tmp_path):
    with pytest.raises(InputError, match="validation subjects, and there are none"):
        line.fit(tmp_path / "a", patience=2)
    with pytest.raises(InputError, match="'psnr': expected one of loss"):
        line.fit(tmp_path / "b", patience=2, monitor="psnr")


def test_callbacks_run_before_the_epoch_is_saved_and_pictures_after(line, tmp_path):
    calls = []

    def note(who):
        calls.append((who, (tmp_path / "state.npz").exists()))

    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: note("callback")
    )
    line.fit(
        tmp_path,
        callbacks=[callback],
        after_epoch=lambda epoch: note("picture"),
        epochs=1,
    )
    assert calls == [("callback", False), ("picture", True)]


def test_a_loss_that_is_not_finite_stops_the_run_and_says_so(line, tmp_path):
    with pytest.raises(FloatingPointError, match="Lower the learning rate"):
        line.fit(tmp_path, line.Data(scale=np.inf))
    assert not (tmp_path / "state.npz").exists()


def exhausted(name, text=""):
    """Return an error as a backend raises it when memory runs out."""
    return type(name, (RuntimeError,), {})(text)


@pytest.mark.parametrize(
    "error",
    [
        exhausted("ResourceExhaustedError", "OOM when allocating tensor"),
        exhausted("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating"),
        exhausted("OutOfMemoryError", "CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_when_memory_runs_out_what_to_lower_is_reported(error, line, tmp_path):
    def fail(epoch):
        raise error

    message = "batch_size .now 4. to 2 with accumulation 2.*mixed_bfloat16.*coarser"
    with pytest.raises(MemoryError, match=message):
        line.fit(tmp_path, batch_size=4, epochs=1, after_epoch=fail)
    assert (tmp_path / "state.npz").exists()


def test_other_errors_are_not_taken_for_memory(line, tmp_path):
    def fail(epoch):
        raise RuntimeError("memory of something else")

    with pytest.raises(RuntimeError, match="something else"):
        line.fit(tmp_path, epochs=1, after_epoch=fail)


def test_starting_anew_takes_other_settings(line, tmp_path):
    options = {"patience": 1, "monitor": "loss", "epochs": 1}
    line.fit(tmp_path, **options)
    with pytest.raises(InputError, match="seed was 0, is 7"):
        line.fit(tmp_path, seed=7, **options)
    before = {path.name for path in tmp_path.iterdir()}
    refused = {"patience": 1, "monitor": "val_loss", "epochs": 1, "force": True}
    with pytest.raises(InputError, match="expected validation subjects"):
        line.fit(tmp_path, **refused)
    assert {path.name for path in tmp_path.iterdir()} == before  # nothing was lost
    line.fit(tmp_path, seed=7, force=True, **options)
    assert read_json(tmp_path / "settings.json")["training"]["seed"] == 7


@pytest.mark.parametrize("name", ["dataset_description.json", "model/config.json"])
def test_a_folder_that_is_no_run_is_refused_though_forced(line, tmp_path, name):
    for path in (tmp_path / name, tmp_path / "history.csv"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    for force in (False, True):
        with pytest.raises(InputError, match="not empty, and no run"):
            line.fit(tmp_path, force=force)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_command_left_before_the_settings_is_no_obstacle(line, tmp_path):
    (tmp_path / ".lock").write_text("{}")
    (tmp_path / ".tmp-1-settings.json").touch()
    assert len(line.fit(tmp_path, epochs=1)[1]) == 1


def test_a_kill_while_starting_anew_leaves_a_run(line, tmp_path, monkeypatch):
    def dies(path, content):
        raise line.Killed

    line.fit(tmp_path, epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_json", dies)
        with pytest.raises(line.Killed):
            line.fit(tmp_path, epochs=1, seed=7, force=True)
    with pytest.raises(InputError, match="seed was 0, is 7"):
        line.fit(tmp_path, epochs=1, seed=7)
    assert len(line.fit(tmp_path, epochs=1, seed=7, force=True)[1]) == 1


def test_tensorboard_gets_the_metrics_or_what_is_missing_is_reported(line, tmp_path):
    missing = [
        name
        for name in ("tensorflow", "tensorboard")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        with pytest.raises(InputError, match=f"needs {' and '.join(missing)}"):
            line.fit(tmp_path, tensorboard=True)
        return
    line.fit(tmp_path, tensorboard=True, epochs=1)
    assert list((tmp_path / "tensorboard").glob("train/events*"))


def test_seed_and_precision_hold_while_building_only():
    settings = TrainingSettings(seed=3, precision="mixed_bfloat16")
    kernels = []
    for _ in range(2):
        with building(settings):
            layer = keras.layers.Dense(1)
            layer.build((None, 1))
        assert layer.compute_dtype == "bfloat16"
        kernels.append(np.asarray(layer.kernel))
    np.testing.assert_array_equal(*kernels)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "double"}, "mixed_bfloat16"),
        ({"epochs": 0}, "above 0"),
        ({"accumulation": 0}, "above 0"),
        ({"patience": -1}, "0 .off. or more"),
        ({"devices": 0}, "at least 1, or -1 for all"),
    ],
)
def test_wrong_settings_are_reported(wrong, message):
    with pytest.raises(InputError, match=message):
        TrainingSettings(**wrong)


def test_networks_do_in_training_what_they_do_after():
    """What is sampled from is what was trained: no layer differs."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (1, 8, 8, 1)).astype("float32")
    noisy = {
        "latents": rng.standard_normal((1, 4, 4, 2)).astype("float32"),
        "noise_level": np.array([0.3], "float32"),
        "conditions": np.array([[0.5]], "float32"),
    }
    autoencoder = PatchAutoencoder((8, 8), channels=(8, 8), blocks=1)
    unet = UNet((4, 4, 2), widths=(8,), blocks=1, attention=(True,), categories=(0,))
    for network, inputs in ((autoencoder, images), (unet, noisy)):
        for variable in network.trainable_variables:
            variable.assign(rng.normal(0, 0.3, variable.shape))
        keras.tree.map_structure(
            np.testing.assert_array_equal,
            network(inputs, training=True),
            network(inputs, training=False),
        )
