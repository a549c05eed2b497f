"""VQVAE and LDM end to end, small: fit, resume, save, load, predict, generate."""

from dataclasses import replace
import inspect
import json
import shutil

import numpy as np
import pytest

from dipy_synth.data.augment import move
from dipy_synth.data.cohort import Cohort, cohort_config, fingerprint
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.data.split import SPLITS
from dipy_synth.diffusion.latents import encode_cohort, encode_volumes
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.models import find_model
from dipy_synth.networks.blocks import depth_to_space, space_to_depth
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.store import config_hash, read_config
from dipy_synth.synthesis.qc_filter import QCFilter
from dipy_synth.training import TrainingSettings
from dipy_synth.training.run_folder import draw_curves
from dipy_synth.training.train_denoiser import guide_settings
from dipy_synth.utils.files import read_json
from dipy_synth.utils.labels import is_split_of

SMALL_VQVAE = {"channels": (8, 8), "blocks": 1}
SMALL_UNET = {"widths": (8, 16), "blocks": 1, "attention": (False, True)}
SETTINGS = TrainingSettings(epochs=2, batch_size=2, learning_rate=1e-3)
KILLED = {"run": "killed", "guide": "killed-guide"}  # folder of training: of the copy


@pytest.fixture(scope="module")
def vqvae_run(prepared_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("vqvae")
    VQVAE(None).fit(
        prepared_folder, run_dir=run, settings=SETTINGS, network=SMALL_VQVAE
    )
    return run


def fit_ldm(prepared_folder, vqvae_run, run, **options):
    """Train a small model in a run's folder: the model and its history."""
    ldm, options = LDM(None), {"guide_epochs": 2, **options}
    history = ldm.fit(
        prepared_folder,
        vqvae_run,
        run_dir=run,
        settings=SETTINGS,
        conditions=("age", "sex"),
        network=SMALL_UNET,
        **options,
    )
    return ldm, history


@pytest.fixture(scope="module")
def ldm_run(prepared_folder, vqvae_run, tmp_path_factory):
    """A run; beside it what a kill after an epoch of the U-Net, or guide, leaves."""
    root = tmp_path_factory.mktemp("ldm")
    run = root / "run"

    def draw_and_keep(folder, history):
        draw_curves(folder, history)
        if len(history) == 1:
            shutil.copytree(run, root / KILLED[folder.name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dipy_synth.training.run_folder.draw_curves", draw_and_keep)
        fit_ldm(prepared_folder, vqvae_run, run)
    return run


@pytest.fixture(scope="module")
def ldm(ldm_run):
    return LDM(ldm_run)


def test_reconstructions_are_close_and_each_to_its_own_original(
    prepared_folder, vqvae_run
):
    held_out = np.asarray(Cohort.load(prepared_folder).volumes("validation"), "float32")
    decoded = VQVAE(vqvae_run).reconstruct(held_out)
    assert decoded.shape == held_out.shape
    errors = np.array([[np.mean((d - h) ** 2) for h in held_out] for d in decoded])
    assert np.diag(errors).max() < 0.1 * np.mean(held_out**2)
    np.testing.assert_array_equal(errors.argmin(axis=1), np.arange(len(held_out)))


def test_one_volume_as_well_as_many(prepared_folder, vqvae_run):
    volume = np.asarray(Cohort.load(prepared_folder).volumes("validation")[0])
    vqvae = VQVAE(vqvae_run)
    np.testing.assert_array_equal(
        vqvae.reconstruct(volume), vqvae.reconstruct(volume[None])[0]
    )


def test_run_folder_shows_what_happened(vqvae_run, ldm_run):
    for run, picture in ((vqvae_run, "reconstructions"), (ldm_run, "samples")):
        for name in ("history.csv", "curves.png", "state.npz", f"{picture}.png"):
            assert (run / name).stat().st_size > 0, name
        history = (run / "history.csv").read_text().splitlines()
        assert len(history) == 1 + SETTINGS.epochs
        assert "val_loss" in history[0]


def weights_of(folder, kind="weights"):
    (path,) = folder.glob(f"{kind}-*.npz")
    return path


def test_the_split_is_kept_with_the_model(prepared_folder, ldm):
    cohort = Cohort.load(prepared_folder)
    split = ldm.config["split"]
    assert not set(split["train"]) & set(split["validation"])
    sides = (
        {s for s, kept in zip(cohort.subjects, cohort.where(side)) if kept}
        for side in ("train", "validation")
    )
    assert is_split_of(split, *sides)


def test_the_preprocessing_of_the_cohort_is_kept_with_the_model(bids_folder, tmp_path):
    grid = Grid((24, 32, 24), (8, 8, 8))
    config = PreprocessConfig(bias=False, align="none", scaling="minmax", grid=grid)
    records = read_records(bids_folder)
    prepare_cohort(records, tmp_path / "prepared", preprocessing=config)
    vqvae = VQVAE(None)
    vqvae.config = cohort_config(Cohort.load(tmp_path / "prepared"))
    vqvae.network = PatchAutoencoder(grid.shape, channels=(8, 8), blocks=1)
    again = VQVAE(vqvae.save(tmp_path / "model"))
    assert PreprocessConfig.from_config(again.config["preprocessing"]) == config


def test_latents_reach_the_network_normalised(prepared_folder, ldm):
    """In orthonormal coordinates of patches, the mean variance being 1."""
    cohort = Cohort.load(prepared_folder)
    latents = encode_volumes(cohort.volumes("train"), ldm.vqvae, np.arange(6))
    normal = ldm.normalizer.normalize(latents)
    assert abs(normal.mean()) < 0.05 and 0.9 < normal.std() < 1.1
    assert ldm.normalizer.variance.mean() == pytest.approx(1, rel=1e-3)
    noise = np.random.default_rng(0).standard_normal((2, *ldm.network.shape))
    network = ldm.vqvae.network
    kernel = np.asarray(network.from_latents.get_weights()[0])
    moved = (ldm.normalizer.restore(noise) - ldm.normalizer.mean) @ kernel
    ratio = np.sum(moved**2, axis=-1) / np.sum(noise**2, axis=-1)
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)


def test_views_of_training_brains_are_moved_and_mirrored_and_held_out_ones_are_not(
    prepared_folder, ldm_run
):
    rows = {split: read_json(ldm_run / f"latents-{split}.json") for split in SPLITS}
    train = rows["train"]
    shifts, mirrored = np.array(train["shifts"]), np.array(train["mirrored"])
    assert len(shifts) == len(mirrored) == 10 * len(train["keys"]) == 60
    first = np.arange(60) % 10
    assert not shifts[first < 2].any() and shifts[first >= 2].any(axis=1).mean() > 0.9
    assert np.abs(shifts).max() == 3
    assert not mirrored[first == 0].any() and mirrored[first == 1].all()
    assert not np.any(rows["validation"]["shifts"])
    kept = np.load(ldm_run / "latents-train.npy")
    volumes, ldm = Cohort.load(prepared_folder).volumes("train"), LDM(ldm_run)
    for view in (0, 1, 7):
        volume = np.asarray(volumes[2], "float32")
        volume = volume[::-1] if mirrored[20 + view] else volume
        moved = move(volume, shifts[20 + view])
        expected = ldm.vqvae.encode(moved[None])[0]
        np.testing.assert_allclose(kept[20 + view], expected, atol=5e-3)


def test_views_are_of_a_subject_and_where_none_is_mirrored_one_is_not_moved(
    prepared_folder, ldm, tmp_path
):
    cohort = Cohort.load(prepared_folder)
    found = encode_cohort(cohort, ldm.vqvae, tmp_path / "x", "train", mirror=False)
    subjects = np.array(cohort.subjects)[cohort.where("train")]
    np.testing.assert_array_equal(found.subjects, np.repeat(subjects, 10))
    assert not found.shifts[::10].any()
    assert found.shifts[1::10].any(axis=1).mean() > 0.8


def test_the_network_unfolds_latents_as_the_decoder_does(ldm):
    """Its finest level works on the voxels of the decoder's linear path."""
    assert ldm.network.unfold == 2
    network = ldm.vqvae.network
    z = np.random.default_rng(0).normal(size=(1, *network.latent_shape))
    x = ldm.normalizer.normalize(z)
    cells = np.arange(np.prod(x.shape[1:-1])).reshape(1, *x.shape[1:-1])
    found = np.asarray(ldm.network.unfolding(x, cells))[..., :-2]
    kernel, _ = network.from_latents.get_weights()
    linear = (z - ldm.normalizer.mean) @ kernel
    voxels = depth_to_space(linear.astype("float32"), network.factor)
    expected = np.asarray(space_to_depth(voxels, 2))
    scale = expected.std() / found.std()
    np.testing.assert_allclose(found * scale, expected, atol=1e-3 * expected.std())


def test_an_older_model_is_to_be_trained_again(ldm_run, tmp_path):
    shutil.copytree(ldm_run / "model", tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    config["networks"]["unet"] |= {"unfold": 1, "norm": "batch"}
    config.pop("config_sha256")
    path.write_text(json.dumps({**config, "config_sha256": config_hash(config)}))
    with pytest.raises(InputError, match="the unet cannot be made .*train it again"):
        LDM(tmp_path / "old")
    assert VQVAE(tmp_path / "old").network is not None


@pytest.mark.parametrize("wrong", ["width", "categories"])
def test_unknown_arguments_of_a_network_are_refused(
    prepared_folder, vqvae_run, tmp_path, wrong
):
    options = {"run_dir": tmp_path / "run", "network": {wrong: (8,)}}
    with pytest.raises(InputError, match=wrong):
        VQVAE(None).fit(prepared_folder, **options)
    with pytest.raises(InputError, match=f"{wrong}: expected some of widths"):
        LDM(None).fit(prepared_folder, vqvae_run, **options)
    with pytest.raises(InputError, match=f"{wrong}: expected some of widths"):
        CovariatePredictor(None).fit(prepared_folder, **options)
    assert not (tmp_path / "run").exists()


def test_samples_depend_on_seed_and_number_alone(ldm):
    together = ldm.generate(3, seed=5, batch_size=3, steps=2)
    one_by_one = ldm.generate(3, seed=5, batch_size=1, steps=2)
    last = ldm.generate(seed=5, numbers=[2], steps=2)
    np.testing.assert_allclose(together, one_by_one, atol=1e-4)
    np.testing.assert_array_equal(one_by_one[2], last[0])
    assert np.abs(together[0] - together[1]).max() > 0.01
    other = ldm.generate(1, seed=6, steps=2)
    assert np.abs(together[0] - other[0]).max() > 0.01


def test_samples_are_volumes_in_range(ldm):
    (volume,) = ldm.generate(1, steps=2)
    assert volume.shape == tuple(ldm.config["grid"]["shape"])
    assert volume.dtype == np.float32
    assert np.isfinite(volume).all() and volume.min() >= 0 and volume.max() <= 1


def test_a_saved_model_generates_the_same(ldm, tmp_path):
    ldm.save(tmp_path / "copy")
    again = LDM(tmp_path / "copy")
    np.testing.assert_array_equal(
        ldm.generate(1, seed=2, steps=2), again.generate(1, seed=2, steps=2)
    )


def test_a_model_has_its_qc_filter_where_there_are_brains_enough(
    prepared_folder, vqvae_run, ldm_run, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="this model has no QC filter"):
        QCFilter.load(ldm_run)
    run = tmp_path / "run"
    shutil.copytree(ldm_run, run)
    monkeypatch.setattr("dipy_synth.synthesis.qc_filter.LEAST", 2)
    monkeypatch.setattr("dipy_synth.metrics.verdicts.LEAST", 2)
    # all epochs are done: only the model is written
    again, _ = fit_ldm(prepared_folder, vqvae_run, run)
    qc_filter = QCFilter.load(again.save(tmp_path / "copy"))
    assert qc_filter.ranges.n == 2
    assert qc_filter.threshold == QCFilter.load(run).threshold
    copied = LDM(tmp_path / "copy")
    copied.save(tmp_path / "copy", dtype="float16")
    assert QCFilter.load(tmp_path / "copy").threshold == qc_filter.threshold


def test_half_precision_weights_stay_close(ldm, ldm_run, tmp_path):
    ldm.save(tmp_path / "half", dtype="float16")
    size, full = (
        weights_of(find_model(model)).stat().st_size
        for model in (tmp_path / "half", ldm_run)
    )
    assert size < 0.7 * full
    half = LDM(tmp_path / "half").generate(1, seed=2, steps=2)
    whole = ldm.generate(1, seed=2, steps=2)
    assert np.abs(half - whole).mean() < 0.01


@pytest.mark.parametrize("training", KILLED)
def test_a_killed_run_ends_as_an_uninterrupted_one(
    prepared_folder, vqvae_run, ldm_run, training
):
    killed = ldm_run.with_name(KILLED[training])
    folder = killed / "guide" if training == "guide" else killed
    assert (killed / "guide" / "state.npz").exists() == (training == "guide")
    assert not (killed / "model").exists()
    assert len((folder / "history.csv").read_text().splitlines()) == 2  # one epoch
    _, history = fit_ldm(prepared_folder, vqvae_run, killed)
    assert len(history) == SETTINGS.epochs
    for kind in ("weights", "guide"):
        with (
            np.load(weights_of(killed / "model", kind)) as resumed,
            np.load(weights_of(ldm_run / "model", kind)) as straight,
        ):
            assert resumed.files == straight.files
            for name in straight.files:
                np.testing.assert_allclose(resumed[name], straight[name], atol=1e-6)


def test_a_guide_is_trained_for_an_eighth_of_the_epochs_or_one():
    for epochs, expected in ((2, 1), (12, 2), (80, 10)):
        settings = replace(SETTINGS, epochs=epochs, patience=3)
        assert guide_settings(settings) == replace(SETTINGS, epochs=expected)
    assert guide_settings(SETTINGS, 5) == replace(SETTINGS, epochs=5)
    assert guide_settings(SETTINGS, 0) is None


def test_a_guide_is_trained_last_and_kept_with_the_model(ldm_run, ldm, tmp_path):
    rows = (ldm_run / "guide" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 2
    wide, narrow = (net.arguments()["widths"] for net in (ldm.network, ldm.guide))
    assert [4 * n for n in narrow] == [*wide]
    maps = (net.unfolding.get_weights() for net in (ldm.network, ldm.guide))
    for one, other in zip(*maps, strict=True):
        np.testing.assert_array_equal(one, other)
    state = np.random.default_rng(0).normal(size=(1, *ldm.network.shape))

    def estimate(ldm, scale):
        settings, rows = SamplingSettings(autoguidance=scale), np.zeros((1, 2))
        return ldm.denoiser(rows, settings, gaussian=None)(state, 0.5)

    assert np.abs(estimate(ldm, 3) - estimate(ldm, 1)).max() > 1e-3
    again = LDM(ldm.save(tmp_path))
    np.testing.assert_array_equal(estimate(again, 3), estimate(ldm, 3))


def test_another_guide_is_trained_without_the_network(
    prepared_folder, vqvae_run, ldm_run, tmp_path, caplog
):
    run = shutil.copytree(ldm_run, tmp_path / "run")
    states = [run / "state.npz", run / "guide" / "state.npz"]
    before = [path.stat().st_mtime_ns for path in states]
    ldm, _ = fit_ldm(prepared_folder, vqvae_run, run, guide_epochs=1)
    network, guide = (path.stat().st_mtime_ns for path in states)
    assert network == before[0] and guide != before[1]
    assert len((run / "guide" / "history.csv").read_text().splitlines()) == 1 + 1
    for kind, same in (("weights", True), ("guide", False)):
        name = weights_of(ldm_run / "model", kind).name
        assert (weights_of(run / "model", kind).name == name) == same
    assert "left out" not in caplog.text
    ldm, _ = fit_ldm(prepared_folder, vqvae_run, run, guide_epochs=0)
    assert ldm.guide is None and "guide is left out of the model" in caplog.text
    assert ldm.generate(steps=2).shape[0] == 1
    with pytest.raises(InputError, match="no guide"):
        ldm.generate(steps=2, autoguidance=2)


@pytest.mark.parametrize(
    "other, words",
    [({"categories": (0, 3)}, "categories"), ({"shape": (8, 8, 8, 2)}, "latents")],
)
def test_a_guide_of_another_model_is_refused(ldm_run, tmp_path, other, words):
    ldm = LDM(ldm_run)
    ldm.guide = UNet(**{**ldm.guide.arguments(), **other})
    with pytest.raises(InputError, match=f"{words}.*, but a network of"):
        LDM(ldm.save(tmp_path)).generate(steps=2)


def test_a_guide_is_read_where_it_is_used(ldm_run, tmp_path):
    folder = shutil.copytree(ldm_run / "model", tmp_path / "model")
    weights_of(folder, "guide").unlink()
    assert LDM(folder).generate(steps=2, autoguidance=1).shape[0] == 1
    with pytest.raises(InputError, match="guide-.*no such file.*autoguidance 1"):
        LDM(folder).generate(steps=2)


def test_a_finished_run_is_not_trained_again(prepared_folder, vqvae_run):
    before = (vqvae_run / "state.npz").stat().st_mtime_ns
    VQVAE(None).fit(
        prepared_folder, run_dir=vqvae_run, settings=SETTINGS, network=SMALL_VQVAE
    )
    assert (vqvae_run / "state.npz").stat().st_mtime_ns == before


@pytest.mark.parametrize("dropout", [-0.1, 1.5])
def test_a_share_of_dropped_conditions_is_one(prepared_folder, vqvae_run, dropout):
    with pytest.raises(InputError, match="a number from 0 to 1"):
        LDM(None).fit(prepared_folder, vqvae_run, run_dir="absent", dropout=dropout)


def test_another_run_in_the_same_folder_is_refused(prepared_folder, vqvae_run):
    other = TrainingSettings(epochs=3, batch_size=2, learning_rate=1e-3)
    with pytest.raises(InputError, match="epochs was 2, is 3"):
        VQVAE(None).fit(
            prepared_folder, run_dir=vqvae_run, settings=other, network=SMALL_VQVAE
        )


def test_validation_subjects_of_one_are_not_trained_on_by_the_other(
    prepared_folder, vqvae_run, tmp_path
):
    cohort = tmp_path / "cohort"
    shutil.copytree(prepared_folder, cohort)
    table = cohort / "participants.tsv"
    swap = {"train": "validation", "validation": "train"}
    lines = [
        "\t".join(swap.get(cell, cell) for cell in line.split("\t"))
        for line in table.read_text().splitlines()
    ]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="trained on by the autoencoder"):
        LDM(None).fit(cohort, vqvae_run, run_dir=tmp_path / "run", settings=SETTINGS)


def edited(source, folder, edit):
    """Copy a prepared cohort, and edit the lines of its table."""
    shutil.copytree(source, folder)
    table = folder / "participants.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    edit(rows[0], rows[1:])
    table.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    return folder


def test_a_value_of_validation_subjects_alone_is_reported_at_once(
    prepared_folder, vqvae_run, tmp_path
):
    def only_there(names, rows):
        sides = [row[names.index("split")] for row in rows]
        for row, side in zip(rows, sides):
            row[names.index("sex")] = "X" if side == "validation" else "F"

    cohort = edited(prepared_folder, tmp_path / "cohort", only_there)
    options = {"run_dir": tmp_path / "run", "settings": SETTINGS}
    with pytest.raises(InputError, match=r"sub-\w+ \(validation side\): .*sex=X"):
        LDM(None).fit(cohort, vqvae_run, conditions=("sex",), **options)
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_conditions_of_another_range(
    prepared_folder, vqvae_run, ldm_run, tmp_path
):
    def typo(names, rows):
        trained = next(row for row in rows if row[names.index("split")] == "train")
        trained[names.index("age")] = "118"

    cohort = edited(prepared_folder, tmp_path / "cohort", typo)
    run = tmp_path / "run"
    shutil.copytree(ldm_run, run)
    conditions = {"conditions": ("age", "sex"), "network": SMALL_UNET}
    with pytest.raises(InputError, match="about.conditions"):
        LDM(None).fit(cohort, vqvae_run, run_dir=run, settings=SETTINGS, **conditions)


def test_a_run_does_not_go_on_with_other_values_or_scans(
    prepared_folder, vqvae_run, ldm_run, tmp_path
):
    def exchange(names, rows):
        place = names.index("age")
        one, other = [r for r in rows if r[names.index("split")] == "train"][:2]
        one[place], other[place] = other[place], one[place]

    cohort = edited(prepared_folder, tmp_path / "cohort", exchange)
    run = tmp_path / "run"
    shutil.copytree(ldm_run, run)
    before = stamps(run)
    conditions = {"conditions": ("age", "sex"), "network": SMALL_UNET}
    with pytest.raises(InputError, match="about.cohort"):
        LDM(None).fit(cohort, vqvae_run, run_dir=run, settings=SETTINGS, **conditions)
    assert stamps(run) == before
    known = Cohort.load(prepared_folder)
    assert fingerprint(Cohort.load(cohort)) == fingerprint(known)  # ages not asked for
    first, *others = Cohort.load(cohort).paths
    shutil.copy(others[0], first)
    assert fingerprint(Cohort.load(cohort)) != fingerprint(known)


def stamps(folder):
    """When each file was written, and how large it is."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def test_what_is_refused_loses_nothing_though_forced(
    prepared_folder, vqvae_run, ldm_run
):
    before = stamps(vqvae_run), stamps(ldm_run)
    options = {"settings": SETTINGS, "force": True}
    with pytest.raises(InputError, match="agee"):
        LDM(None).fit(
            prepared_folder, vqvae_run, run_dir=ldm_run, conditions=("agee",), **options
        )
    with pytest.raises(InputError, match="attention"):
        LDM(None).fit(
            prepared_folder,
            vqvae_run,
            run_dir=ldm_run,
            network={"attention": "foo"},
            **options,
        )
    with pytest.raises(InputError, match="crop"):
        VQVAE(None).fit(prepared_folder, run_dir=vqvae_run, crop=2, **options)
    its_own = r"its model is an input of this training"
    with pytest.raises(InputError, match=its_own):
        LDM(None).fit(prepared_folder, vqvae_run, run_dir=vqvae_run, **options)
    with pytest.raises(InputError, match=its_own):
        LDM(None).fit(
            prepared_folder, vqvae_run, run_dir=ldm_run, initial=ldm_run, **options
        )
    with pytest.raises(InputError, match=its_own):
        VQVAE(None).fit(
            prepared_folder, run_dir=vqvae_run, decoder_of=vqvae_run, **options
        )
    assert (stamps(vqvae_run), stamps(ldm_run)) == before


def test_too_few_images_for_a_codebook_are_reported_before_training(
    prepared_folder, tmp_path
):
    options = {"settings": SETTINGS, "preset": "plain", "run_dir": tmp_path}
    with pytest.raises(InputError, match="latents to start 256 codes"):
        VQVAE(None).fit(prepared_folder, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": {"height": 1}}, "expected one of age, sex"),
        ({"conditions": {"sex": "X"}}, "X"),
        ({"conditions": "age=70 sex=X"}, "sex=X: expected one of F, M"),
        ({"conditions": [70]}, "expected a dict for all samples, or one each"),
        ({"sampler": "magic"}, "heun"),
        ({"steps": 0}, "at least 1"),
        ({"guidance_rescale": 1.5}, "from 0 to 1"),
        ({"eta": 0.5, "sampler": "heun"}, "ddim or sde_dpmpp_2m, not heun"),
        ({"eta": 1.5, "sampler": "ddim"}, "eta 1.5: expected a number from 0 to 1"),
        ({"guidance_interval": (2, 1)}, "the lower first"),
        ({"seed": -1}, "0 or more"),
        ({"n": 0}, "at least 1"),
        ({"numbers": []}, "n 0: expected a whole number, at least 1"),
        ({"steps": 2.5}, "steps 2.5: expected a whole number"),
        ({"guidance": float("nan")}, "guidance nan: expected a finite number"),
    ],
)
def test_wrong_requests_are_reported(ldm, arguments, message):
    with pytest.raises(InputError, match=message):
        ldm.generate(**arguments)


def test_models_without_weights_say_so(prepared_folder):
    with pytest.raises(InputError, match="no weights yet"):
        LDM(None).generate(1)
    with pytest.raises(InputError, match="no weights yet"):
        VQVAE(None).reconstruct(np.zeros((16, 24, 16)))


def test_volumes_of_another_shape_or_range_are_refused(vqvae_run):
    vqvae = VQVAE(vqvae_run)
    with pytest.raises(InputError, match=r"expected \(n, 16, 24, 16\)"):
        vqvae.reconstruct(np.zeros((1, 8, 8, 8)))
    with pytest.raises(InputError, match="expected \\[0, 1\\]"):
        vqvae.reconstruct(np.full((16, 24, 16), 255.0))
    with pytest.raises(InputError, match="values of nan: expected"):
        vqvae.reconstruct(np.full((16, 24, 16), np.nan))
    with pytest.raises(InputError, match="without an axis of channels"):
        vqvae.encode(np.zeros((1, 16, 24, 16, 1)))
    with pytest.raises(InputError, match=r"of shape \(16, 24, 16\): expected \(n, 16"):
        vqvae.encode(np.zeros((16, 24, 16)))


def test_damaged_or_foreign_models_are_refused(ldm_run, vqvae_run, tmp_path):
    with pytest.raises(InputError, match="model of kind vqvae; expected ldm"):
        LDM(vqvae_run)
    with pytest.raises(InputError, match="no such model"):
        LDM(tmp_path / "nothing")
    broken = tmp_path / "broken"
    shutil.copytree(ldm_run / "model", broken)
    with open(weights_of(broken), "ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="its hash is not that in config.json"):
        LDM(broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(InputError, match="format 99, expected"):
        read_config(broken, kinds=("ldm",))


@pytest.mark.parametrize("wrapper", [VQVAE, LDM, CovariatePredictor])
def test_a_wrapper_without_arguments_is_the_bundled_model(wrapper):
    model = inspect.signature(wrapper).parameters["model"].default
    assert model == wrapper.default_model
    assert find_model(model).is_dir()
