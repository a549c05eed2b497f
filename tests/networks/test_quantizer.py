"""Quantisers: nearest codes, moving averages, restarts, gradients, usage."""

import keras
from keras import ops
import numpy as np
import pytest
from scipy.stats import entropy

from dipy_synth.errors import InputError
from dipy_synth.networks import codebook
from dipy_synth.networks.codebook import nearest
from dipy_synth.networks.quantizer import (
    FSQ,
    CodeUsage,
    VectorQuantizer,
    make_quantizer,
    usage,
)
from dipy_synth.store import load_networks, read_config, save_model

SHAPES = [(6, 5), (3, 4, 5)]


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def with_codes(codes, **kwargs):
    """Return a started quantiser with the codes (codebooks, codes, width) asked for."""
    codebooks, n, width = codes.shape
    quantizer = VectorQuantizer(n, width, codebooks=codebooks, **kwargs)
    quantizer.sums.assign(codes)
    quantizer.usage.assign(np.ones((codebooks, n)))
    quantizer.started.assign(1.0)
    return quantizer


def brute_force(latents, codes):
    """Nearest codes (positions, codebooks), by all differences."""
    gaps = latents[:, :, None] - codes[None]
    return (gaps.astype(float) ** 2).sum(axis=-1).argmin(axis=-1)


def gradient(function, x, weights):
    """Return the gradient of a function's weighted sum, on any backend."""
    x = ops.convert_to_tensor(x)
    weights = ops.convert_to_tensor(weights)

    def total(x):
        return ops.sum(function(x) * weights)

    if keras.backend.backend() == "jax":
        import jax

        return numpy(jax.grad(total)(x))
    if keras.backend.backend() == "torch":
        x = x.detach().requires_grad_()
        total(x).backward()
        return numpy(x.grad)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = total(x)
    return numpy(tape.gradient(y, x))


@pytest.mark.parametrize("block", [1, 7, 60, 10**6])
@pytest.mark.parametrize("n", [1, 13, 64])
def test_nearest_codes_are_those_of_brute_force(block, n, monkeypatch):
    latents, codes = normal(n, 2, 3), normal(2, 5, 3, seed=1)
    sizes, argmin = [], ops.argmin

    def spy(distances, axis):
        sizes.append(np.prod(distances.shape))
        return argmin(distances, axis=axis)

    monkeypatch.setattr(codebook.ops, "argmin", spy)
    found = nearest(ops.convert_to_tensor(latents), codes, block=block)
    np.testing.assert_array_equal(numpy(found), brute_force(latents, codes))
    known = [size for size in sizes if size]  # a graph may not know it yet
    assert sizes and all(size <= max(block, 2 * 5) for size in known)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_call_returns_the_codes_of_the_indices(shape, policy):
    codes = normal(2, 7, 3)
    quantizer = with_codes(codes, dtype=policy)
    latents = normal(2, *shape, 6, seed=1)
    indices = numpy(quantizer.indices(latents))
    assert indices.shape == (2, *shape, 2) and indices.dtype == np.int32
    expected = brute_force(latents.reshape(-1, 2, 3), codes)
    np.testing.assert_array_equal(indices.reshape(-1, 2), expected)
    called = quantizer(latents)
    chosen = codes[np.arange(2), expected].reshape(latents.shape)
    assert keras.backend.standardize_dtype(called.dtype) == "float32"
    np.testing.assert_allclose(numpy(called), chosen, atol=1e-4)
    assert called.shape == tuple(quantizer.compute_output_shape(latents.shape))
    np.testing.assert_array_equal(numpy(quantizer.indices(called)), indices)


def test_state_stays_float32_whatever_the_policy():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        quantizer = VectorQuantizer(4, 2)
        quantizer(ops.cast(normal(1, 4, 4, 2), "float16"), training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    kinds = {keras.backend.standardize_dtype(w.dtype) for w in quantizer.weights}
    assert kinds == {"float32"} and len(quantizer.weights) == 3


def test_two_steps_follow_the_moving_averages_by_hand():
    codes = normal(2, 3, 2)
    quantizer = with_codes(codes, decay=0.8, restart=0)
    usage, sums = np.ones((2, 3)), codes.astype(float)
    for step in range(2):
        latents = normal(1, 5, 4, 4, seed=step + 1)
        flat = latents.reshape(-1, 2, 2)
        smooth = (usage + 1e-5) / (usage.sum(1, keepdims=True) + 3e-5)
        smooth *= usage.sum(1, keepdims=True)
        hot = np.eye(3)[brute_force(flat, sums / smooth[..., None])]
        usage = 0.8 * usage + 0.2 * 3 * hot.mean(axis=0)
        sums = 0.8 * sums + 0.2 * 3 * np.einsum("nbk,nbw->bkw", hot, flat) / len(flat)
        quantizer(latents, training=True)
        np.testing.assert_allclose(numpy(quantizer.usage), usage, rtol=1e-5)
        np.testing.assert_allclose(numpy(quantizer.sums), sums, atol=1e-5)
    before = [numpy(w) for w in quantizer.weights]
    quantizer(latents, training=False)
    for weight, kept in zip(quantizer.weights, before):
        np.testing.assert_array_equal(numpy(weight), kept)


def test_latents_pass_until_the_start():
    quantizer, latents = VectorQuantizer(4, 2), normal(1, 4, 4, 2)
    before = [numpy(w) for w in quantizer.weights]
    out = quantizer(latents, training=True)
    np.testing.assert_array_equal(numpy(out), latents)
    assert float(quantizer.losses[0]) == 0
    for weight, kept in zip(quantizer.weights, before):
        np.testing.assert_array_equal(numpy(weight), kept)


def test_start_puts_codes_on_planted_clusters():
    centres = 10 * normal(2, 5, 3)
    which = np.random.default_rng(1).integers(5, size=(2, 12, 12, 2))
    planted = np.concatenate([centres[b][which[..., b]] for b in (0, 1)], axis=-1)
    latents = planted + 0.01 * normal(*planted.shape, seed=2)
    quantizer = VectorQuantizer(5, 3, codebooks=2)
    quantizer.start(latents, 0)
    out = quantizer(latents)
    np.testing.assert_allclose(numpy(out), planted, atol=0.02)
    counts = [np.bincount(which[..., b].ravel(), minlength=5) for b in (0, 1)]
    np.testing.assert_allclose(
        np.sort(numpy(quantizer.usage)), np.sort(counts) * 5 / 288, rtol=1e-4
    )
    assert usage(quantizer.indices(latents), quantizer.sizes)[0] == 1


def test_start_reports_what_it_cannot_use():
    quantizer = VectorQuantizer(64, 2)
    with pytest.raises(InputError, match="16 latents to start 64 codes"):
        quantizer.start(normal(1, 4, 4, 2), 0)
    with pytest.raises(InputError, match="finite"):
        quantizer.start(np.full((1, 8, 8, 2), np.nan, "float32"), 0)


def test_dead_codes_come_back_on_what_has_no_code_yet():
    codes = np.array([[[0.0, 0.0], [90, 90], [91, 91], [92, 92]]], "float32")
    quantizer = with_codes(codes, restart=0.1)
    quantizer.usage.assign([[3.7, 0.0, 0.01, 0.3]])
    quantizer.sums.assign(codes * numpy(quantizer.usage)[..., None])
    latents = np.zeros((1, 20, 20, 2), "float32")
    latents[0, 3, 4], latents[0, 9, 1] = (5, 5), (-5, 5)
    quantizer(latents, training=True)
    found = np.sort(numpy(quantizer.sums)[0, 1:3], axis=0)
    np.testing.assert_allclose(found, [[-5, 5], [5, 5]], atol=1e-3)
    np.testing.assert_allclose(numpy(quantizer.usage)[0, 1:3], 1)
    assert numpy(quantizer.usage)[0, 3] == pytest.approx(0.3 * 0.99)
    np.testing.assert_allclose(numpy(quantizer(latents)), latents, atol=1e-3)


def test_restarts_go_on_from_the_kept_state():
    def step(quantizer, seed):
        quantizer(normal(1, 6, 6, 2, seed=seed), training=True)

    first, second = (
        with_codes(normal(1, 9, 2), decay=0.5, restart=0.95) for _ in range(2)
    )
    for seed in range(3):
        step(first, seed)
    kept = [numpy(v) for v in first.variables]
    assert len(kept) == 4  # the draws' state too
    for variable, value in zip(second.variables, kept):
        variable.assign(value)
    for quantizer in (first, second):
        step(quantizer, 7)
    np.testing.assert_array_equal(numpy(first.sums), numpy(second.sums))
    assert np.abs(numpy(first.sums) - kept[1]).max() > 0.1


def test_straight_through_gives_the_code_its_own_gradient():
    quantizer, latents = with_codes(normal(1, 5, 3)), normal(1, 4, 4, 3, seed=1)
    weights = normal(1, 4, 4, 3, seed=2)
    found = gradient(quantizer, latents, weights)
    np.testing.assert_allclose(found, weights, atol=1e-6)


def test_commitment_is_a_mean():
    quantizer = with_codes(np.array([[[0.0, 0.0], [9, 9]]], "float32"), commitment=0.5)
    for copies in (1, 3):
        quantizer(np.full((copies, 2, 2, 2), 0.4, "float32"))
        assert float(quantizer.losses[-1]) == pytest.approx(0.5 * 0.16, rel=1e-3)


def test_usage_and_perplexity_are_closed_forms():
    indices = np.array([[0, 0], [0, 1], [1, 2], [1, 3]])
    sizes = (4, 4)  # half the codes, equally often; all of them, equally often
    assert usage(indices, sizes) == pytest.approx((0.75, (2 / 4 + 4 / 4) / 2))
    metric = CodeUsage(sizes)
    for part in np.split(indices, 2):
        metric.update_state(part)
    found = {name: float(value) for name, value in metric.result().items()}
    assert found == pytest.approx({"usage": 0.75, "perplexity": 0.75})
    metric.update_state([[2, 0]] * 3)
    skewed = [np.exp(entropy(counts)) / 4 for counts in ([2, 2, 3], [4, 1, 1, 1])]
    assert float(metric.result()["perplexity"]) == pytest.approx(np.mean(skewed))
    metric.reset_state()
    assert float(metric.result()["usage"]) == 0
    again = CodeUsage.from_config(metric.get_config())
    assert again.sizes == sizes


@keras.saving.register_keras_serializable("dipy_synth_tests")
class Tiny(keras.Model):
    """A linear autoencoder of points, quantised, that logs its codes' usage."""

    def __init__(self, quantizer):
        super().__init__()
        self.config = quantizer
        self.quantizer = make_quantizer(quantizer)
        self.before = keras.layers.Dense(self.quantizer.channels)
        self.after = keras.layers.Dense(4)
        self.code_usage = CodeUsage(self.quantizer.sizes)
        self.before.build((None, 4, 4, 4))
        self.quantizer.build((None, 4, 4, self.quantizer.channels))
        self.after.build((None, 4, 4, self.quantizer.channels))
        self.built = True

    def call(self, x, training=False):
        latents = self.before(x)
        quantised, indices = self.quantizer(
            latents, training=training, return_indices=True
        )
        return {"decoded": self.after(quantised), "indices": indices}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        return ops.mean(ops.square(x - y_pred["decoded"])) + sum(self.losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.code_usage.update_state(y_pred["indices"])
        return self.get_metrics_result()

    def get_config(self):
        return {"quantizer": self.config}


@pytest.mark.parametrize(
    "config",
    [
        {"name": "vq", "codes": 16, "width": 2, "codebooks": 2},
        {"name": "fsq", "levels": [5, 5, 3]},
    ],
)
def test_a_tiny_model_learns_under_stock_fit_and_is_read_back(config, tmp_path):
    keras.utils.set_random_seed(0)
    model, data = Tiny(config), normal(32, 4, 4, 4)
    model.compile(keras.optimizers.Adam(0.03))
    vector = config["name"] == "vq"
    if vector:
        model.quantizer.start(model.before(data), 0)
        before = [numpy(w) for w in model.quantizer.weights]
    history = model.fit(
        data, batch_size=16, epochs=8, validation_data=(data[:16],), verbose=0
    ).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    found = usage(
        model.quantizer.indices(model.before(data[:16])), model.quantizer.sizes
    )
    logged = history["val_usage"][-1], history["val_perplexity"][-1]
    assert logged == pytest.approx(found, rel=1e-4)
    assert 0 < history["usage"][-1] <= 1 and 0 < history["perplexity"][-1] <= 1
    if vector:
        moved = [
            np.abs(numpy(w) - b).max() for w, b in zip(model.quantizer.weights, before)
        ]
        assert min(moved[:2]) > 1e-4
    save_model(
        tmp_path,
        kind="vqvae",
        config={"grid": None, "split": {}},
        networks={"autoencoder": model},
    )
    folder, read = read_config(tmp_path, kinds=("vqvae",))
    again = load_networks(folder, read, {"autoencoder": Tiny.from_config})[0][
        "autoencoder"
    ]
    found, expected = (numpy(network(data)["decoded"]) for network in (again, model))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "vq", "codes": 8, "width": 2, "codebooks": 3},
        {"name": "fsq", "levels": (5, 4)},
    ],
)
def test_configuration_round_trip(config):
    quantizer = make_quantizer(config)
    again = type(quantizer).from_config(quantizer.get_config())
    assert again.get_config() == quantizer.get_config()
    assert again.sizes == quantizer.sizes and again.channels == quantizer.channels


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "lfq"}, "expected one of fsq, vq"),
        ({"levels": (5,)}, "expected one of fsq, vq"),
        ({"name": "vq", "codes": 8}, "width"),
        ({"name": "vq", "codes": 1, "width": 2}, "at least 2"),
        ({"name": "vq", "codes": 8, "width": 2, "decay": 1.0}, "decay 1.0"),
        ({"name": "fsq", "levels": (1, 4)}, "at least 2 levels"),
    ],
)
def test_wrong_quantizers_are_reported(config, message):
    with pytest.raises(InputError, match=message):
        make_quantizer(config)


def test_fsq_rounds_to_its_levels():
    quantizer = FSQ((3, 4))
    z = np.array([[[[-2.0, -2.0], [0.2, 0.2], [0.6, 0.9]]]], "float32")
    expected = [[[[-1, -1], [0, 1 / 3], [1, 1]]]]
    np.testing.assert_allclose(numpy(quantizer(z)), expected, atol=1e-6)
    assert numpy(quantizer.indices(z)).tolist() == [[[[0, 0], [1, 2], [2, 3]]]]


def test_fsq_is_idempotent_and_counts_usage():
    quantizer = FSQ((5, 8))
    z = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 2)).astype("float32")
    once, indices = numpy(quantizer(z)), quantizer.indices(z)
    np.testing.assert_allclose(numpy(quantizer(once)), once, atol=1e-6)
    levels = numpy(indices) / [2, 3.5] - 1
    np.testing.assert_allclose(levels, once, atol=1e-6)
    share, perplexity = usage(indices, quantizer.sizes)
    assert share == 1 and 0.8 < perplexity <= 1
    still = quantizer.indices(np.zeros((1, 4, 4, 2), "float32"))
    assert usage(still, quantizer.sizes)[0] == pytest.approx((1 / 5 + 1 / 8) / 2)


def test_fsq_pulls_back_what_is_out_of_range():
    quantizer = FSQ((5,))
    quantizer(np.full((1, 2, 2, 1), 3.0, "float32"))
    assert float(quantizer.losses[0]) == pytest.approx(4.0)
