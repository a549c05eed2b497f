"""Diagnostics: a sound model has nothing wrong, and each planted fault is found."""

import copy
import shutil
from types import SimpleNamespace

import keras
from keras import ops
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.data.cohort import cohort_config
from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.diagnostics import (
    DiagnosticContext,
    diagnostics_page,
    read_context,
    run_checks,
    text_table,
)
from dipy_synth.diagnostics.context import NOISE_TO_SIGNAL, far_conditions
from dipy_synth.diagnostics.data_checks import (
    check_latents,
    check_split,
    check_terminal_noise,
)
from dipy_synth.diagnostics.denoising_checks import (
    COARSE_ERRORS,
    check_coarse,
    check_conditions,
    check_denoising,
)
from dipy_synth.diagnostics.network_checks import (
    check_averaged_weights,
    check_modes,
    check_overfit,
    copy_of,
)
from dipy_synth.diagnostics.volume_checks import (
    check_round_trip,
    check_samples,
    check_scale,
    in_blocks,
)
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.phantom import make_phantom
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.files import read_json, write_json
from dipy_synth.utils.labels import labels_on_side

UNET = {"widths": (48,), "blocks": 1, "attention": (True,)}
PLAIN = {"widths": (48,), "blocks": 1, "attention": (False,)}


def bars(n=1200, size=16):
    """Draw soft bars, upright or lying by their label: images (n, size, size)."""
    rng, labels = np.random.default_rng(0), np.arange(n) % 2
    x = np.arange(size)
    images = np.zeros((n, size, size), "float32")
    for number, label in enumerate(labels):
        middle, bright = rng.uniform(4, size - 4), rng.uniform(0.6, 1)
        bar = bright * np.exp(-((x - middle) ** 2) / 4)[:, None] * (abs(x - 7.5) < 6)
        images[number] = bar if label else bar.T
    return images, labels


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Train a small model that is sound; give the folder of data, vqvae and run."""
    root = tmp_path_factory.mktemp("doctor")
    images, labels = bars()
    np.savez(root / "bars.npz", images=images, labels=labels)
    keras.utils.set_random_seed(0)
    vqvae = VQVAE(None)
    vqvae.config = cohort_config(ArrayCohort.load(root / "bars.npz"))
    levels = {"name": "fsq", "levels": (31, 31, 15, 15)}
    vqvae.network = PatchAutoencoder((16, 16), channels=(8, 8), quantizer=levels)
    vqvae.network.initialize(images[..., None] * 2 - 1)
    vqvae.save(root / "vqvae" / "model")
    LDM(None).fit(
        root / "bars.npz",
        root / "vqvae",
        run_dir=root / "ldm",
        conditions=("label",),
        settings=TrainingSettings(epochs=4, batch_size=24, learning_rate=4e-3),
        network=UNET,
        guide_epochs=0,
    )
    return root


@pytest.fixture(scope="module")
def sound(root):
    return read_context(root / "ldm", prepared=root / "bars.npz", vqvae=root / "vqvae")


@pytest.fixture(scope="module")
def results(sound):
    return run_checks(sound)


def planted(context, **faults):
    """Return a context like another, whose model has something else in it."""
    ldm = copy.copy(context.ldm)
    ldm.config = dict(ldm.config)
    for name, value in faults.items():
        setattr(ldm, name, value)
    return DiagnosticContext(
        ldm,
        context.latents,
        context.conditions,
        context.held_out,
        context.held_out_conditions,
        volumes=context.volumes,
    )


def plain_normalizer(shape):
    """Return a normalizer that leaves latents as they are."""
    return LatentNormalizer(np.zeros(shape), np.eye(shape[-1]), np.ones(shape))


def with_network(context, kind):
    """Return a context whose network is of another kind, with the same weights."""
    own = context.ldm.network
    network = kind.from_config(own.get_config())
    kept = {variable.path: variable for variable in own.variables}
    for variable in network.variables:
        source = kept.get(variable.path.replace(network.name, own.name, 1))
        if source is not None:
            variable.assign(source)
    return planted(context, network=network, gaussian=None)


class ByBatch(UNet):
    """A network with batch normalisation."""

    def _make_layers(self):
        super()._make_layers()
        self.by_batch = keras.layers.BatchNormalization(name="by_batch")

    def call(self, inputs, training=False):
        return self.by_batch(super().call(inputs), training=training)


class Unconditional(UNet):
    """A network that ignores its conditions."""

    def call(self, inputs):
        nothing = ops.full_like(inputs["conditions"], np.nan)
        return super().call({**inputs, "conditions": nothing})


class Stuck(UNet):
    """A network whose gradients vanish."""

    def call(self, inputs):
        return 1e-6 * super().call(inputs)


class Severed(UNet):
    """A network without gradients."""

    def call(self, inputs):
        return ops.stop_gradient(super().call(inputs))


class OneWay(LatentNormalizer):
    """Normalises, and does not restore."""

    def restore(self, normalized):
        return normalized


def test_a_sound_model_has_nothing_wrong(results):
    text = "\n".join(text_table(results))
    unsure = {result.name for result in results if result.verdict != "pass"}
    # what little it was trained may not do for the strongest noise
    ladder = "ladder"  # of brains alone
    assert unsure <= {"denoising, training", "denoising, held-out", ladder}, text
    assert not any(result.verdict == "fail" for result in results), text


def test_looking_changes_nothing(root, sound, results):
    before = LDM(root / "ldm").network.get_weights()
    for here, there in zip(sound.ldm.network.get_weights(), before):
        np.testing.assert_array_equal(here, there)


def test_unnormalised_latents_are_found(sound):
    shape = sound.ldm.network.shape
    found = check_latents(planted(sound, normalizer=plain_normalizer(shape)))
    assert found.verdict == "fail" and found.advice
    truth = np.asarray(sound.latents, "float64").reshape(-1, shape[-1])
    np.testing.assert_allclose(found.values["std"], truth.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.values["mean"], truth.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.values["std_overall"], truth.std(), rtol=1e-4)


def test_a_wrong_scale_in_the_model_is_found(sound):
    own = sound.ldm.normalizer
    for factor in (0.85, 3):
        wrong = LatentNormalizer(own.mean, own.matrix * factor, own.variance)
        assert check_latents(planted(sound, normalizer=wrong)).verdict == "fail"


def test_batch_normalisation_is_found_and_named(sound):
    context = with_network(sound, ByBatch)
    before = context.ldm.network.get_weights()
    found = check_modes(context)
    assert found.verdict == "fail"
    assert "by_batch (BatchNormalization)" in found.message
    for here, there in zip(context.ldm.network.get_weights(), before):
        np.testing.assert_array_equal(here, there)  # its moving averages as well


@pytest.mark.parametrize("steps, left", [(200, 0.13), (300, 0.05), (500, 0.006)])
def test_noise_prediction_with_a_short_schedule_is_found(sound, steps, left):
    found = check_terminal_noise(
        planted(sound, schedule=DiscreteDiffusion(steps=steps))
    )
    assert found.verdict == "fail"
    assert found.values["alpha_bar"] == pytest.approx(left, rel=0.1)


@pytest.mark.parametrize(
    "schedule",
    [
        RectifiedFlow(),
        DiscreteDiffusion(steps=1000),
        DiscreteDiffusion(steps=200, prediction="v", zero_terminal_snr=True),
        DiscreteDiffusion(steps=200, prediction="v", betas="cosine"),
    ],
)
def test_schedules_that_end_in_noise_are_right(sound, schedule):
    assert check_terminal_noise(planted(sound, schedule=schedule)).verdict == "pass"


def test_noise_prediction_from_noise_alone_warns(sound):
    cosine = DiscreteDiffusion(steps=1000, betas="cosine")
    found = check_terminal_noise(planted(sound, schedule=cosine))
    assert found.verdict == "warn" and "multiplies" in found.message


def test_a_scale_used_one_way_only_is_found(sound):
    own = sound.ldm.normalizer
    context = planted(sound, normalizer=OneWay(own.mean, own.matrix, own.variance))
    assert check_latents(context).verdict == "pass"
    assert check_scale(context).verdict == "fail"
    alone = DiagnosticContext(context.ldm)  # without data as well
    assert check_scale(alone).verdict == "fail"
    assert check_scale(DiagnosticContext(sound.ldm)).verdict == "pass"


def test_an_untrained_network_is_found(sound):
    network = UNet(sound.ldm.network.shape, categories=(2,), **PLAIN)
    # which starts at a Wiener filter, and has learned nothing
    context = planted(sound, network=network, gaussian=None)
    for side in ("latents", "held_out"):
        assert check_denoising(context, side=side).verdict == "fail"


def test_denoising_is_checked_by_exact_metrics(sound):
    """With the truth for an answer nothing is left; with what it sees, all noise is."""
    looked = sound.denoised("held_out")
    exact = type(looked)(looked.times, looked.truth, looked.noisy, looked.noisy * 0)
    np.testing.assert_allclose(exact.errors().mean(axis=1), 1, rtol=1e-5)
    ratio = 1 / np.array(NOISE_TO_SIGNAL) ** 2
    # of independent noise: 1 / (1 + signal-to-noise ratio of powers), the Wiener filter
    wanted = 1 / (1 + ratio * np.mean(looked.truth**2))
    np.testing.assert_allclose(looked.linear_errors(), wanted, atol=0.03)


class Shy(RectifiedFlow):
    """Answers the mean, latents being normalised, where noise is deep."""

    def to_x0(self, prediction, x_t, t, *, variance=1.0):
        x0 = super().to_x0(prediction, x_t, t, variance=variance)
        return x0 if t < 0.2 else 0 * x_t


def test_a_network_that_saw_too_little_deep_noise_is_found(sound):
    assert check_coarse(sound).values["share_found"] > 0.7
    config = sound.ldm.schedule.to_config()
    shy = Shy(**{key: config[key] for key in config if key != "name"})
    found = check_coarse(planted(sound, schedule=shy, gaussian=None))
    assert found.verdict == "fail" and "--noise_range" in found.advice
    assert found.values["share_found"] == pytest.approx(0, abs=0.1)


def test_along_the_widest_component_errors_are_those_requested(sound):
    """The best multiple of a noisy coordinate leaves s^2 / (variance + s^2)."""
    context = planted(sound)
    rng, size = np.random.default_rng(0), np.prod(sound.ldm.network.shape)
    axis = rng.standard_normal(size)
    wide = 30 * rng.standard_normal(2000)[:, None] * axis / np.linalg.norm(axis)
    latents = wide + 0.1 * rng.standard_normal((2000, size))
    shape = (2000, *sound.ldm.network.shape)
    context.latents = context.held_out = latents.reshape(shape).astype("float32")
    context.conditions = context.held_out_conditions = None
    context.ldm.normalizer = plain_normalizer(shape[1:])
    looked = context.along_widest("held_out", (0.1, 0.5), most=2000)
    np.testing.assert_allclose(looked.linear_errors(), [0.1, 0.5], rtol=0.1)
    found, true = (x - x.mean() for x in (looked.truth[:, 0], wide @ axis))
    np.testing.assert_allclose(
        np.abs(found), np.abs(true) / np.linalg.norm(axis), atol=1.5
    )


@pytest.mark.parametrize("kind", [Stuck, Severed])
def test_a_network_that_cannot_learn_is_found(sound, kind):
    network = kind(sound.ldm.network.shape, categories=(2,), **PLAIN)
    assert check_overfit(planted(sound, network=network)).verdict == "fail"


def test_ignored_conditions_are_found(sound):
    found = check_conditions(with_network(sound, Unconditional))
    assert found.verdict == "fail" and found.values["change"] == 0


def test_conditions_that_mislead_are_found(sound):
    context = planted(sound)
    context.held_out_conditions = 1 - context.held_out_conditions
    found = check_conditions(context)
    assert found.verdict == "fail" and found.values["change"] > 0.01


def test_without_conditions_there_is_nothing_to_look_at(sound):
    context = planted(sound)
    context.conditions = context.held_out_conditions = None
    assert check_conditions(context).verdict == "skipped"


def test_other_conditions_are_far_away():
    own = np.array([[3, np.nan], [1, 0], [0, np.nan], [2, 1]], "float32")
    other = far_conditions(own)
    np.testing.assert_array_equal(np.abs(other - own)[:, 0], 2)
    assert np.isnan(other).sum() == 2


def test_an_autoencoder_worse_than_blocks_is_found(sound):
    vqvae = copy.copy(sound.ldm.vqvae)
    vqvae.network = copy_of(vqvae.network)
    vqvae.network.set_weights([0.5 * w for w in vqvae.network.get_weights()])
    assert check_round_trip(planted(sound, vqvae=vqvae)).verdict == "fail"


def test_decoded_brains_are_shown_with_the_power_that_they_keep():
    grid = Grid((36, 44, 36), (4.5,) * 3)
    brains = [make_phantom(i, shape=grid.shape, voxel_size=4.5).data for i in range(3)]
    network = SimpleNamespace(rank=3, factor=4)
    vqvae = SimpleNamespace(
        network=network,
        reconstruct=lambda x, batch_size: np.stack(
            [np.where(v > 0, gaussian_filter(v, 0.6), 0) for v in x]
        ),
    )
    ldm = SimpleNamespace(vqvae=vqvae, grid=grid, config={"grid": grid.to_config()})
    result = check_round_trip(SimpleNamespace(ldm=ldm, volumes=np.stack(brains)))
    ratio = result.values["power_ratio"]
    assert 0.1 < ratio[3] < 0.6 and ratio[0] == pytest.approx(1, abs=0.2)
    assert f"and {ratio[3]:.0%} of their power in the finest band" in result.message


def test_blocks_are_means():
    image = np.arange(16.0).reshape(4, 4)
    blocks = in_blocks(image, 2)
    assert np.all(blocks[:2, :2] == image[:2, :2].mean())
    assert np.all(blocks[2:, 2:] == image[2:, 2:].mean())


def test_collapsed_exploded_and_equal_samples_are_found(sound, results):
    for spoilt in (
        0.2 * sound.samples,
        4 * sound.samples,
        np.repeat(sound.samples[:1], 8, axis=0),
        sound.samples * np.nan,
    ):
        context = planted(sound)
        context.samples = spoilt
        assert check_samples(context).verdict == "fail"


def test_subjects_on_both_sides_are_found(sound):
    context = planted(sound)
    train, held_out = (sound.ldm.config["split"][s] for s in ("train", "validation"))
    subjects = [f"image-{number:06d}" for number in range(200)]
    split = sound.ldm.config["split"]
    sides = [labels_on_side(split, subjects, s) for s in ("train", "validation")]
    assert all(sides)
    moved = {"train": sides[0][1:] + sides[1][:1], "validation": sides[0][:1]}
    context.cohort_split = moved
    found = check_split(context)
    assert found.verdict == "fail" and sides[1][0] in found.message
    context.cohort_split = None
    context.ldm.config["split"] = {"train": train, "validation": held_out + train[:1]}
    assert train[0] in check_split(context).message


def test_an_autoencoder_of_another_run_is_found(sound):
    context = planted(sound)
    context.vqvae = copy.copy(sound.vqvae)
    context.vqvae.network = copy_of(sound.vqvae.network)
    assert check_split(context).verdict == "pass"
    context.vqvae.network.set_weights(
        [w + 1 for w in context.vqvae.network.get_weights()]
    )
    assert "other latents" in check_split(context).message
    context.vqvae.network = PatchAutoencoder((8, 8), channels=(8, 8))
    assert "other latents" in check_split(context).message


def test_weights_of_the_last_step_are_found(root, sound, tmp_path):
    shutil.copytree(root / "ldm", tmp_path / "run")
    network = copy_of(sound.ldm.network)
    with np.load(root / "ldm" / "state.npz") as state:
        network.set_weights([state[str(i)] for i in range(len(network.weights))])
    planted(sound, network=network).ldm.save(tmp_path / "run" / "model")
    assert check_averaged_weights(read_context(tmp_path / "run")).verdict == "fail"


def test_latents_of_another_autoencoder_are_found(root, tmp_path):
    shutil.copytree(root / "ldm", tmp_path / "run")
    content = read_json(tmp_path / "run" / "latents-train.json")
    write_json(tmp_path / "run" / "latents-train.json", {**content, "vqvae": "0" * 64})
    assert "another autoencoder" in check_split(read_context(tmp_path / "run")).message


def test_a_network_that_is_not_finite_is_wrong_and_has_a_page(sound, tmp_path):
    network = copy_of(sound.ldm.network)
    network.set_weights([w * np.nan for w in network.get_weights()])
    context = planted(sound, network=network)
    results = {result.name: result for result in run_checks(context, quick=True)}
    for name in ("training and sampling mode", "denoising, training", "conditions"):
        assert results[name].verdict == "fail", name
    diagnostics_page(context, [*results.values()], tmp_path / "doctor.html")
    assert "NaN" not in (tmp_path / "doctor.json").read_text()


def test_a_model_alone_is_looked_at_as_far_as_it_goes(root):
    context = read_context(root / "ldm" / "model")
    context.run = None
    verdicts = {
        f.name: f for f in run_checks(DiagnosticContext(context.ldm), quick=True)
    }
    right = {name for name, f in verdicts.items() if f.verdict == "pass"}
    assert right == {
        "training and validation",
        "latent scaling round trip",
        "noise where sampling starts",
        "training and sampling mode",
    }
    assert all(f.advice for f in verdicts.values() if f.verdict == "skipped")


def test_a_run_alone_has_its_latents(root):
    context = read_context(root / "ldm")
    assert len(context.latents) == 960 and len(context.held_out) == 240
    assert context.conditions is None and context.volumes is None


def test_a_run_without_validation_subjects_is_looked_at(root, tmp_path):
    shutil.copytree(root / "ldm", tmp_path / "run")
    stored = tmp_path / "run" / "latents-validation.npy"
    np.save(stored, np.load(stored)[:0])
    sidecar = stored.with_suffix(".json")
    write_json(sidecar, {**read_json(sidecar), "keys": []})
    context = read_context(tmp_path / "run", prepared=root / "bars.npz")
    assert len(context.latents) == 960
    context.held_out = None  # encoded anew, as its split has some
    context.ldm.config["split"] = {**context.ldm.config["split"], "validation": []}
    result = check_denoising(context, side="held_out")
    assert result.verdict == "skipped"
    assert result.message == "the model has no validation subjects"


def test_a_model_without_its_run_finds_its_latents_in_the_cohort(root, tmp_path):
    shutil.copytree(root / "ldm" / "model", tmp_path / "copy")
    context = read_context(tmp_path / "copy", prepared=root / "bars.npz")
    np.testing.assert_allclose(
        context.latents, np.load(root / "ldm" / "latents-train.npy"), atol=1e-3
    )
    assert np.isfinite(context.conditions).all() and len(context.conditions) == 960


def test_data_that_does_not_fit_is_refused(root, sound, tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros((5, 8, 8), "uint8"))
    with pytest.raises(InputError, match=r"other.npz.*\(8, 8\).*\(16, 16\)"):
        read_context(root / "ldm", prepared=tmp_path / "other.npz")
    with pytest.raises(InputError, match="latents of shape"):
        DiagnosticContext(sound.ldm, np.zeros((3, 2, 2, 4)))
    images, labels = bars(30)
    np.savez(tmp_path / "fewer.npz", images=images, labels=labels)
    with pytest.raises(InputError, match="expected the cohort that"):
        read_context(root / "ldm", prepared=tmp_path / "fewer.npz")


def test_the_page_shows_all_and_stands_alone(sound, results, read_page, tmp_path):
    path = diagnostics_page(sound, results, tmp_path / "new" / "doctor.html")
    page, written = read_page(path), read_json(path.with_name("doctor.json"))
    page.check()
    # noisy, denoised and errors; the original; samples
    assert page.count("img") == 3 * len(NOISE_TO_SIGNAL) + 1 + 5
    assert page.text.count("No check failed") == 1
    left_out = sum(result.verdict == "skipped" for result in results)
    assert left_out and f"({left_out} of {len(results)} skipped)" in page.text
    for result in results:
        assert result.name[:1].upper() + result.name[1:] in page.text
    assert sum(written["verdicts"].values()) == len(results)
    assert [f["name"] for f in written["results"]] == [f.name for f in results]


def test_errors_by_noise_are_a_chart_on_the_page(sound, results, read_page, tmp_path):
    page = read_page(diagnostics_page(sound, results, tmp_path / "doctor.html"))
    labels = [a.get("aria-label", "") for tag, a in page.tags if tag == "svg"]
    assert [words.split(":")[0] for words in labels] == [
        *("Denoising, training", "Denoising, held-out"),
        "Large-scale structure at high noise",
    ]
    dots = [a.get("class") for tag, a in page.tags if tag == "circle"]
    assert dots.count("real") == len(COARSE_ERRORS)
    levels = 2 * len(NOISE_TO_SIGNAL) + len(COARSE_ERRORS)
    assert dots.count("synthetic") == levels
    held_out = next(r.values for r in results if r.name == "denoising, held-out")
    ratio, noise = held_out["ratios"][0], held_out["noise_to_signal"][0]
    assert f"{ratio:.2f} at noise {noise:.2g}; " in page.text


def test_the_page_names_what_is_wrong_first(sound, results, read_page, tmp_path):
    context = planted(sound, schedule=DiscreteDiffusion(steps=200))
    mixed = [*results, check_terminal_noise(context)]
    words = read_page(diagnostics_page(context, mixed, tmp_path / "doctor.html")).text
    assert "Failed: noise where sampling starts" in words
    assert words.index("To do:") < words.index("Autoencoder round trip")
