"""VQVAE and LDM on digits, with codebooks, other architectures and a discriminator."""

import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.training import TrainingSettings
from dipy_synth.training.callbacks import AdversarialRamp

SMALL = {"channels": (8, 8), "quantizer": {"name": "vq", "codes": 16, "width": 4}}
SETTINGS = TrainingSettings(epochs=2, batch_size=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Bars, upright or lying by their label: 40 images of 12x16."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    images, labels = np.zeros((40, 12, 16), np.uint8), np.arange(40) % 2
    for number, (image, label) in enumerate(zip(images, labels)):
        bar = slice(2 + number % 6, 5 + number % 6)
        image[(slice(2, 10), bar) if label else (bar, slice(2, 10))] = 200
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def vqvae_run(digits, tmp_path_factory):
    run = tmp_path_factory.mktemp("vqvae")
    VQVAE(None).fit(
        digits, run_dir=run, settings=SETTINGS, preset="mnist", network=SMALL
    )
    return run


def test_digits_keep_what_a_brain_would_lose(vqvae_run):
    """Specks and faint grey are no background here."""
    vqvae = VQVAE(vqvae_run)
    assert vqvae.config["grid"] is None
    vqvae.network.reconstruct = lambda latents: faint
    faint = np.full((1, 12, 16, 1), -0.97, "float32")
    faint[0, 3, 3] = 1
    decoded = vqvae.decode(np.zeros((1, *vqvae.network.latent_shape), "float32"))
    np.testing.assert_allclose(decoded, (faint[..., 0] + 1) / 2)


def test_the_codebook_started_and_the_history_has_its_use(vqvae_run):
    vqvae = VQVAE(vqvae_run)
    assert float(vqvae.network.quantizer.started) == 1
    header = (vqvae_run / "history.csv").read_text().splitlines()[0]
    for name in ("usage", "perplexity", "val_usage", "val_perplexity"):
        assert name in header.split(",")
    latents = np.random.default_rng(0).normal(size=(1, *vqvae.network.latent_shape))
    on_codes = vqvae.network.quantizer(latents.astype("float32"))
    again = vqvae.network.quantizer(on_codes)
    np.testing.assert_allclose(on_codes, again, atol=1e-5)


@pytest.mark.parametrize("label", ["1", None])
def test_a_label_is_a_name_not_a_number_and_may_be_absent(
    digits, vqvae_run, tmp_path, label
):
    ldm, conditions = LDM(None), {"label": label} if label else {}
    ldm.fit(
        digits,
        vqvae_run,
        run_dir=tmp_path,
        settings=TrainingSettings(batch_size=8, epochs=1),
        conditions=tuple(conditions),
        network={"widths": (8,), "blocks": 1, "attention": (True,)},
        guide_epochs=0,
    )
    assert [c.categories for c in ldm.schema.columns] == [("0", "1")][: len(conditions)]
    kept = np.load(tmp_path / "latents-train.npy", mmap_mode="r")
    assert len(kept) == 32  # no mirror images
    images = LDM(tmp_path).generate(2, conditions=conditions, steps=2)
    assert images.shape == (2, 12, 16)
    assert images.min() >= 0 and images.max() <= 1


def test_a_killed_run_with_a_discriminator_ends_as_an_uninterrupted_one(
    prepared_folder, tmp_path, monkeypatch
):
    def fit(name):
        vqvae = VQVAE(None)
        vqvae.fit(
            prepared_folder,
            run_dir=tmp_path / name,
            settings=TrainingSettings(epochs=2, batch_size=4),
            preset="plain",
            adversarial=0.1,
            network=SMALL,
        )
        return vqvae.network.get_weights()

    def keep(*arguments, **options):
        """Keep what a kill leaves, that comes as the first picture is drawn."""
        if not (tmp_path / "resumed").exists():
            shutil.copytree(tmp_path / "straight", tmp_path / "resumed")

    monkeypatch.setattr("dipy_synth.nn.vqvae.save_montage", keep)
    straight = fit("straight")
    for one, other in zip(straight, fit("resumed"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    with np.load(*(tmp_path / "straight" / "model").glob("weights-*.npz")) as stored:
        assert len(stored.files) == len(straight)  # the discriminator is not kept
    assert "discriminator" in (tmp_path / "straight" / "history.csv").read_text()


def test_the_adversarial_loss_starts_late_and_gradually():
    model, strengths = SimpleNamespace(strength=keras.Variable(0.0)), []
    ramp = AdversarialRamp(0.5, 10)
    ramp.set_model(model)
    for epoch in range(10):
        ramp.on_epoch_begin(epoch)
        strengths.append(float(model.strength.value))
    expected = [0, 0.5 * 0.3, *[0.5] * 8]  # from 17 % of the training, over 10 %
    np.testing.assert_allclose(strengths, expected, atol=1e-6)


def test_an_unknown_preset_is_reported_before_anything_is_written(digits, tmp_path):
    with pytest.raises(InputError, match="expected one of default, plain"):
        VQVAE(None).fit(digits, run_dir=tmp_path / "run", preset="big")
    assert not (tmp_path / "run").exists()


def test_a_decoder_is_trained_further_and_the_latents_stay(digits, vqvae_run, tmp_path):
    known = VQVAE(vqvae_run)
    run = {"run_dir": tmp_path, "settings": SETTINGS, "preset": "mnist"}
    VQVAE(None).fit(
        digits, decoder_of=vqvae_run, network={"gradient_weight": 1.0}, **run
    )
    further = VQVAE(tmp_path)
    images = np.random.default_rng(0).uniform(0, 1, (3, 12, 16)).astype("float32")
    latents = known.encode(images)
    np.testing.assert_array_equal(further.encode(images), latents)
    codebooks = [v.network.quantizer.get_weights() for v in (known, further)]
    for ours, theirs in zip(*codebooks):
        np.testing.assert_array_equal(ours, theirs)
    assert np.abs(further.decode(latents) - known.decode(latents)).max() > 1e-3
    assert further.network.get_config()["gradient_weight"] == 1.0
    with pytest.raises(InputError, match="channels"):
        options = {"run_dir": tmp_path / "b", "network": {"channels": (4, 4)}}
        VQVAE(None).fit(digits, decoder_of=known, **options)
