"""Every layer and model through the same mill, in rank 2 and 3.

Shape, configuration there and back, saving and loading, mixed precision, and a step of
training that moves every kernel and leaves all weights finite.
"""

from functools import cache
from typing import NamedTuple

import keras
import numpy as np
import pytest

from dipy_synth.networks.architectures import ARCHITECTURES, make_autoencoder
from dipy_synth.networks.attention import (
    Attention,
    ConditionTokens,
    SpatialConditioning,
)
from dipy_synth.networks.autoencoder import Autoencoder
from dipy_synth.networks.blocks import ResidualBlock, Upsample
from dipy_synth.networks.codebook import VectorQuantizer
from dipy_synth.networks.conv_autoencoders import ResidualUnit
from dipy_synth.networks.denoising_blocks import (
    DenoisingBlock,
    LayerNorm,
    PixelShuffle,
)
from dipy_synth.networks.discriminator import AdversarialTraining, PatchDiscriminator
from dipy_synth.networks.predictor_network import PredictorNetwork
from dipy_synth.networks.quantizer import FSQ
from dipy_synth.networks.unet import UNet
from dipy_synth.networks.unfolding import Unfolding
from dipy_synth.store import load_networks, read_config, save_model

SIZES = {2: (8, 16), 3: (8, 16, 8)}
BATCH = 2


def draw(*shape):
    values = np.random.default_rng(0).uniform(-1, 1, (BATCH, *shape))
    return values.astype("float32")


def image(rank, channels=1):
    return draw(*SIZES[rank], channels)


def conditions():
    return np.array([[0.3, 1], [np.nan, 0]], "float32")


def noisy(rank, wanted):
    """Inputs of a U-Net."""
    level = np.array([-1.2, 0.8], "float32")
    return {"latents": image(rank, 3), "noise_level": level, "conditions": wanted}


def autoencoder(name, rank, **options):
    small = {"channels": (8, 8), "frequency_weight": 0.1}
    small |= {} if name == "plain" else {"blocks": 1}
    small |= {"architecture": name, "shape": SIZES[rank]}
    return make_autoencoder({**small, **options})


def cells(rank):
    """Flat indices of the positions of images."""
    size = SIZES[rank]
    return np.broadcast_to(np.arange(np.prod(size)).reshape(size), (BATCH, *size))


def unet(rank, categories=(), **options):
    widths, attention = (8, 16), (False, True)
    return UNet(
        (*SIZES[rank], 3),
        widths=widths,
        blocks=1,
        attention=attention,
        categories=categories,
        **options,
    )


class Case(NamedTuple):
    """How to make it for a rank, what it is called on, and the shape it gives."""

    make: object
    inputs: object
    shape: object


CASES = {
    "residual block": Case(
        lambda rank: ResidualBlock(6),
        lambda rank: [image(rank, 4)],
        lambda size: (*size, 6),
    ),
    "denoising block": Case(
        lambda rank: DenoisingBlock(6),
        lambda rank: [image(rank, 4), draw(5)],
        lambda size: (*size, 6),
    ),
    "denoising block without normalisation": Case(
        lambda rank: DenoisingBlock(6, normalize=False),
        lambda rank: [image(rank, 4), draw(5)],
        lambda size: (*size, 6),
    ),
    "layer norm": Case(
        lambda rank: LayerNorm(),
        lambda rank: [image(rank, 4)],
        lambda size: (*size, 4),
    ),
    "pixel shuffle": Case(
        lambda rank: PixelShuffle(6),
        lambda rank: [image(rank, 4)],
        lambda size: (*(2 * n for n in size), 6),
    ),
    "unfolding": Case(
        lambda rank: Unfolding((*SIZES[rank], 3), 2, 4),
        lambda rank: [image(rank, 3), cells(rank)],
        lambda size: (*(2 * n for n in size), 2 ** len(size) + 2),
    ),
    "upsample": Case(
        lambda rank: Upsample(6),
        lambda rank: [image(rank, 4)],
        lambda size: (*(2 * n for n in size), 6),
    ),
    "attention": Case(
        lambda rank: Attention(8),
        lambda rank: [image(rank, 8)],
        lambda size: (*size, 8),
    ),
    "attention to conditions": Case(
        lambda rank: Attention(8),
        lambda rank: [image(rank, 8), draw(2, 6)],
        lambda size: (*size, 8),
    ),
    "condition tokens": Case(
        lambda rank: ConditionTokens((0, 2), 6),
        lambda rank: [conditions()],
        lambda size: (2, 6),
    ),
    "spatial conditioning": Case(
        lambda rank: SpatialConditioning(SIZES[rank], 3, 8),
        lambda rank: [draw(6), cells(rank)],
        lambda size: (*size, 3),
    ),
    "FSQ": Case(
        lambda rank: FSQ((5, 4, 3)),
        lambda rank: [image(rank, 3)],
        lambda size: (*size, 3),
    ),
    "vector quantizer": Case(
        lambda rank: VectorQuantizer(8, 2, codebooks=2),
        lambda rank: [image(rank, 4)],
        lambda size: (*size, 4),
    ),
    "residual unit": Case(
        lambda rank: ResidualUnit(4),
        lambda rank: [image(rank, 4)],
        lambda size: (*size, 4),
    ),
    "discriminator": Case(
        lambda rank: PatchDiscriminator((4, 8)),
        lambda rank: [image(rank)],
        lambda size: (*(n // 2 for n in size), 1),
    ),
    "U-Net": Case(
        lambda rank: unet(rank),
        lambda rank: [noisy(rank, np.zeros((BATCH, 0), "float32"))],
        lambda size: (*size, 3),
    ),
    "conditional U-Net": Case(
        lambda rank: unet(rank, (0, 2)),
        lambda rank: [noisy(rank, conditions())],
        lambda size: (*size, 3),
    ),
    "unfolding U-Net": Case(
        lambda rank: unet(rank, (0, 2), unfold=2),
        lambda rank: [noisy(rank, conditions())],
        lambda size: (*size, 3),
    ),
    **{
        f"{name} autoencoder": Case(
            lambda rank, name=name: autoencoder(name, rank),
            lambda rank: [image(rank)],
            lambda size: (*size, 1),
        )
        for name in ARCHITECTURES
    },
    "labelled autoencoder": Case(
        lambda rank: autoencoder("patch", rank, labels=2),
        lambda rank: [image(rank, 3)],
        lambda size: (*size, 3),
    ),
    "labelled U-Net": Case(
        lambda rank: unet(rank, (0, 2), unfold=2, image_channels=3),
        lambda rank: [noisy(rank, conditions())],
        lambda size: (*size, 3),
    ),
    "predictor": Case(
        lambda rank: PredictorNetwork(
            SIZES[rank], categories=(0, 3), widths=(8, 8), shrink=2
        ),
        lambda rank: [image(rank)],
        lambda size: (4,),
    ),
    "adversarial training": Case(
        lambda rank: AdversarialTraining(autoencoder("patch", rank), channels=(4, 8)),
        lambda rank: [image(rank)],
        lambda size: (*size, 1),
    ),
}

every = pytest.mark.parametrize(
    ("name", "rank"),
    [pytest.param(n, r, id=f"{n}, {r}D") for n in CASES for r in SIZES],
)


def shake(network):
    """Change every weight, so that zero-initialised paths act."""
    rng = np.random.default_rng(1)
    for weight in network.trainable_weights:
        weight.assign(np.asarray(weight) + rng.normal(0, 0.1, weight.shape))


def built(network, inputs):
    """Call it once, so that it has its weights."""
    network(*inputs)
    return network


@cache
def made(name, rank):
    """Return (network with weights, inputs, output), shared: look, do not change."""
    case = CASES[name]
    inputs = case.inputs(rank)
    keras.utils.set_random_seed(0)
    network = built(case.make(rank), inputs)
    shake(network)
    return network, inputs, output(network, inputs)


def output(network, inputs):
    """Call it; of an autoencoder's outputs give the images."""
    outputs = network(*inputs)
    outputs = outputs["images"] if isinstance(outputs, dict) else outputs
    return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))


@every
def test_shape(name, rank):
    network, inputs, given = made(name, rank)
    wanted = (BATCH, *CASES[name].shape(SIZES[rank]))
    assert given.shape == wanted
    if not isinstance(network, keras.Model):
        shapes = [value.shape for value in inputs]
        assert tuple(network.compute_output_shape(*shapes)) == wanted


@every
def test_configuration_and_weights_there_and_back(name, rank, tmp_path):
    network, inputs, given = made(name, rank)
    folder = save_model(tmp_path, kind="any", config={}, networks={"it": network})
    _, config = read_config(folder, kinds=("any",))

    def make(config):
        return built(type(network).from_config(config), inputs)

    networks, _ = load_networks(folder, config, {"it": make})
    np.testing.assert_array_equal(output(networks["it"], inputs), given)


@every
def test_mixed_precision_stays_close(name, rank):
    network, inputs, given = made(name, rank)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = built(CASES[name].make(rank), inputs)
    finally:
        keras.config.set_dtype_policy(before)
    mixed.set_weights(network.get_weights())
    assert {w.dtype for w in mixed.trainable_weights} <= {"float32"}
    error = np.abs(output(mixed, inputs) - given).mean()
    # a latent may be rounded to another code
    assert error < 0.1 * np.abs(given).mean()


@every
def test_a_step_moves_every_kernel_and_all_stays_finite(name, rank):
    case = CASES[name]
    inputs = case.inputs(rank)
    keras.utils.set_random_seed(0)
    network = built(case.make(rank), inputs)
    shake(network)
    model, target = network, None
    if isinstance(network, AdversarialTraining):
        network.strength.assign(0.5)
    if not isinstance(network, (Autoencoder, AdversarialTraining)):
        model, target = towards_one(network, inputs, case.shape(SIZES[rank]))
    # by place: names can be the same
    before = [np.array(w) for w in network.trainable_weights]
    loss = None if target is None else "mse"
    model.compile(keras.optimizers.Adam(1e-3), loss, run_eagerly=True)
    x = inputs[0] if len(inputs) == 1 else inputs
    losses = [model.train_on_batch(x, target) for _ in range(2)]
    assert np.isfinite(losses).all()
    for old, weight in zip(before, network.trainable_weights, strict=True):
        new = np.asarray(weight)
        assert np.isfinite(new).all(), weight.path
        # attention does not depend on its keys' bias, images that were not moved not
        # on the kernel of shifts
        still = weight.path.endswith("key/bias") or "shift" in weight.path
        assert still or np.any(new != old), weight.path


def symbol(x):
    """Return the symbolic input for an array, or for a dict of arrays by its names."""
    if isinstance(x, dict):
        return {
            name: keras.Input(value.shape[1:], name=name) for name, value in x.items()
        }
    return keras.Input(x.shape[1:], dtype=x.dtype.name)


def towards_one(network, inputs, shape):
    """Return a model of a layer, and ones to train it to.

    A layer without weights gets one after it.
    """
    symbols = [symbol(x) for x in inputs]
    outputs = network(*symbols)
    if not network.trainable_weights:
        outputs = keras.layers.Dense(shape[-1])(outputs)
    symbols = symbols[0] if len(symbols) == 1 else symbols
    return keras.Model(symbols, outputs), np.ones((BATCH, *shape), "float32")
