"""The same weights give the same answers on TensorFlow, JAX and PyTorch.

This file is also the program that each backend runs, in a process of its own:
``KERAS_BACKEND=jax python tests/test_backends.py answers.npz``.
"""

from importlib.util import find_spec
import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

BACKENDS = ("tensorflow", "jax", "torch")
SHAPES = {2: (16, 24), 3: (8, 16, 8)}
CODEBOOK = {"name": "vq", "codes": 4, "width": 4}
AUTOENCODERS = {
    "patch": {"channels": (8, 8), "blocks": 1},
    "plain": {"channels": (8, 8), "quantizer": CODEBOOK},
    "residual": {"channels": (8, 8), "quantizer": CODEBOOK},
}


def main(path):
    """Write the answers of every network, and its loss in training."""
    answers = {}
    for rank, shape in SHAPES.items():
        for name, options in AUTOENCODERS.items():
            config = {"architecture": name, "shape": shape, **options}
            answers |= named(f"{name} {rank}D", ask_autoencoder(config))
        answers |= named(f"unet {rank}D", ask_unet((*shape, 3)))
    answers |= named("optimizer", ask_optimizer())
    np.savez(path, **answers)


def named(name, answers):
    return {f"{name}: {what}": value for what, value in answers.items()}


def ask_autoencoder(config):
    """Encode and decode with given weights, then train.

    Rounding to codes lies between the two: what is near a tie may fall either way.
    """
    from dipy_synth.networks.architectures import make_autoencoder

    network = make_autoencoder(config)
    give_weights(network)
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (2, *network.shape, 1)).astype("float32")
    latents = rng.uniform(-1, 1, (2, *network.latent_shape)).astype("float32")
    answers = {
        "latents": network.encode(images),
        "images": network.reconstruct(latents),
    }
    if config["architecture"] != "patch":
        network.quantizer.start(answers["latents"], seed=0)
    return {**as_arrays(answers), "losses": train(network, images, images)}


def ask_unet(shape):
    """Predict with given weights, then train."""
    from dipy_synth.networks.unet import UNet

    network = UNet(
        shape,
        widths=(8, 16),
        blocks=1,
        attention=(False, True),
        categories=(0, 2),
        unfold=2,
    )
    give_weights(network)
    rng = np.random.default_rng(1)
    inputs = {
        "latents": rng.standard_normal((2, *shape)).astype("float32"),
        "noise_level": np.array([-1.2, 0.7], "float32"),
        "conditions": np.array([[0.5, 1], [np.nan, 0]], "float32"),
        "corner": np.zeros((2, len(shape) - 1), "int32"),
        "shift": np.ones((2, len(shape) - 1), "float32"),
    }
    target = rng.standard_normal((2, *shape)).astype("float32")
    answers = as_arrays({"prediction": network(inputs)})
    return {**answers, "losses": train(network, inputs, target)}


def ask_optimizer():
    """Update weights by given gradients."""
    import keras

    from dipy_synth.training.optimizer import AveragingAdamW

    rng = np.random.default_rng(1)
    shapes = ((2, 3), (), (4,))
    weights = [keras.Variable(rng.normal(size=s), dtype="float32") for s in shapes]
    optimizer = AveragingAdamW(0.05, weight_decay=0.1, global_clipnorm=1.0)
    optimizer.build(weights)
    for _ in range(3):
        gradients = [rng.normal(size=weight.shape) for weight in weights]
        tensors = [keras.ops.convert_to_tensor(g, "float32") for g in gradients]
        optimizer.apply(tensors, weights)
    arrays = [*as_arrays(dict(enumerate(weights))).values(), *optimizer.averaged()]
    return {str(number): array for number, array in enumerate(arrays)}


def give_weights(network):
    """Set the trainable weights, alike on every backend."""
    rng = np.random.default_rng(0)
    for weight in network.trainable_variables:
        weight.assign(rng.normal(0, 0.1, weight.shape).astype("float32"))


def train(network, x, y):
    """Return the losses of three epochs of stock training, one step each."""
    import keras

    network.compile(keras.optimizers.SGD(1e-3))  # the loss is the network's
    history = network.fit(x, y, epochs=3, verbose=0, validation_data=(x, y)).history
    assert all(np.isfinite(history["val_loss"]))
    return np.array(history["loss"])


def as_arrays(tensors):
    from keras import ops

    return {name: ops.convert_to_numpy(value) for name, value in tensors.items()}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return a function that runs a backend and gives its answers."""
    folder, root = tmp_path_factory.mktemp("answers"), Path(__file__).parents[1]

    def ask(backend):
        if find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
        path = folder / f"{backend}.npz"
        if not path.exists():
            own = {"KERAS_BACKEND": backend, "PYTHONPATH": str(root)}
            command = [sys.executable, __file__, str(path)]
            done = subprocess.run(command, env=os.environ | own, capture_output=True)
            assert done.returncode == 0, done.stderr.decode()[-3000:]
        with np.load(path) as found:
            return dict(found)

    return ask


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_backends_agree(answers, backend):
    found, expected = answers(backend), answers(BACKENDS[0])  # may skip
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, atol=1e-4, rtol=1e-4, err_msg=name
        )


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_training_works_on_each(answers, backend):
    losses = {k: v for k, v in answers(backend).items() if k.endswith("losses")}
    assert len(losses) == 8
    for name, (first, _, last) in losses.items():
        assert last < first, name


if __name__ == "__main__":
    main(sys.argv[1])
