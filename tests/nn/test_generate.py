"""Generating: states, conditions, defaults, other processes; with random weights."""

from functools import partial

import keras
import numpy as np
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.data.nifti import read_volume
from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.samplers import sample_ddim
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.memorization import VoxelSearch
from dipy_synth.metrics.sharpness import high_frequency_power
from dipy_synth.metrics.verdicts import AcceptanceRanges
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.synthesis.qc_filter import QCFilter
from dipy_synth.synthesis.synthetic_cohort import Request, synthesize_cohort
from dipy_synth.utils.files import read_json

SHAPE = (16, 16, 16)


@pytest.fixture(scope="module")
def ldm(tmp_path_factory):
    """Return a model that was never trained, but whose output is not all zero."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    made = LDM(None)
    made.vqvae, made.config = VQVAE(None), {"sampling": {"sampler": "heun", "steps": 3}}
    made.config |= {"grid": Grid(SHAPE, (10.0,) * 3).to_config(), "split": {}}
    made.vqvae.network = PatchAutoencoder(SHAPE, channels=(8, 8), blocks=1)
    patches = rng.normal(0, 0.5, (200, 64)).astype("float32")
    made.vqvae.network.initialize_linear(patches)
    shape = made.vqvae.network.latent_shape
    made.network = UNet(
        shape, widths=(8,), blocks=1, attention=(True,), categories=(0, 2)
    )
    for weight in made.network.trainable_variables:
        if not np.any(
            keras.ops.convert_to_numpy(weight)
        ):  # what starts at zero hides the rest
            weight.assign(rng.normal(0, 0.2, weight.shape))
    sex = Column("sex", "category", categories=("F", "M"))
    made.schema = ConditionSchema((Column("age", low=20, high=80), sex))
    made.normalizer = LatentNormalizer(
        np.zeros(shape), np.eye(shape[-1]), np.ones(shape)
    )
    return LDM(made.save(tmp_path_factory.mktemp("model")))


def test_states_lead_to_the_volumes(ldm):
    done = []
    volumes, states = ldm.generate(
        3, steps=4, batch_size=2, return_states=True, progress=done.append
    )
    assert states.shape == (3, 4, *volumes.shape[1:])
    np.testing.assert_allclose(states[:, -1], volumes, atol=1e-5)
    assert np.abs(states[:, 0] - volumes).max() > 0.01
    assert done == [0.5] * 4 + [0.25] * 4


def test_a_condition_can_be_moved_alone(ldm):
    young, old = ldm.generate(
        numbers=[0, 0], conditions=[{"age": 65}, {"age": 75}], guidance=1.0, steps=2
    )
    other = ldm.generate(numbers=[1], conditions="age=75", guidance=1.0, steps=2)
    assert 0 < np.abs(young - old).mean() < np.abs(other - old).mean()


@pytest.fixture(params=["joblib", "dask", "ray", "scheduler"])
def spread(request):
    """Return the options that spread a cohort, of each engine that is installed."""
    if request.param != "scheduler":
        pytest.importorskip({"dask": "distributed"}.get(request.param, request.param))
        yield {"engine": request.param, "n_jobs": 2}
        return
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        yield {"scheduler": cluster.scheduler_address}


def test_a_cohort_made_in_other_processes_is_the_same(ldm, tmp_path, spread):
    sampling = SamplingSettings(steps=2, sampler="ddim", eta=1)
    request = Request(seed=3, sampling=sampling, sweep={"sex": "FM"})
    here, there = tmp_path / "here", tmp_path / "there"
    options = {"n": 2, "request": request, "batch_size": 3}
    expected = synthesize_cohort(ldm, here, **options)
    paths = synthesize_cohort(ldm, there, **spread, **options)
    assert [path.relative_to(there) for path in paths] == [
        path.relative_to(here) for path in expected
    ]
    for one, other in zip(expected, paths):
        np.testing.assert_allclose(
            read_volume(one)[0], read_volume(other)[0], atol=1e-4
        )
    for name in ("dataset_description.json", "participants.tsv"):
        assert (there / name).read_bytes() == (here / name).read_bytes()


def test_a_qc_filter_works_in_other_processes_too(ldm, tmp_path):
    """Half of the draws are too sharp to pass, so that some are made again."""
    request = Request(seed=3, sampling=SamplingSettings(steps=2))
    drawn = [
        ldm.generate(
            seed=3, numbers=range(3), attempts=[i] * 3, steps=2, conditions=None
        )
        for i in range(3)
    ]
    powers = [high_frequency_power(volume) for volume in np.concatenate(drawn)]
    ranges = AcceptanceRanges(
        grid=Grid.from_config(ldm.config["grid"]),
        limits={"sharpness": (0, np.median(powers))},
        mean=np.zeros(SHAPE, "float32"),
        power=1.0,
        tissues=False,
        n=8,
    )
    rng = np.random.default_rng(0)
    train = rng.uniform(size=(2, *SHAPE)).astype("float32")
    qc_filter = QCFilter(ranges, VoxelSearch(train), 2.0)
    here, there = tmp_path / "here", tmp_path / "there"
    options = {"n": 3, "request": request, "qc_filter": qc_filter}
    expected = synthesize_cohort(ldm, here, batch_size=2, **options)
    paths = synthesize_cohort(ldm, there, engine="joblib", n_jobs=1, **options)
    written = [read_json(root / "dataset_description.json") for root in (here, there)]
    assert written[0] == written[1] and written[0]["DipySynthQCFilter"]["Draws"] > 3
    for one, other in zip(expected, paths):
        np.testing.assert_allclose(
            read_volume(one)[0], read_volume(other)[0], atol=1e-4
        )


def test_what_fails_elsewhere_is_reported_here(ldm, tmp_path):
    changed = LDM(ldm.folder)  # as if its folder held another model by now
    changed.config["weights_sha256"] = "another"
    options = {"engine": "joblib", "n_jobs": 1}
    options["request"] = Request(sampling=SamplingSettings(steps=2))
    with pytest.raises(InputError, match="not all volumes could be generated"):
        synthesize_cohort(changed, tmp_path, **options)


def test_the_advice_is_followed_and_completed(ldm):
    assert ldm.config["sampling"] == {"sampler": "heun", "steps": 3}
    defaults = {
        "steps": 3,
        "sampler": "euler",
        "guidance": 2.0,
        "guidance_rescale": 0.7,
    }
    defaults |= {"guidance_interval": (0.1, 2)}
    advised = LDM(ldm.folder)
    advised.config["sampling"] = defaults
    np.testing.assert_array_equal(advised.generate(), ldm.generate(**defaults))


def test_nifti_images_lie_on_the_grid_of_the_model(ldm):
    options = {"steps": 2, "conditions": {"age": 30}}
    volumes = ldm.generate(2, **options)
    images = ldm.generate(2, return_nifti=True, **options)
    assert len(images) == 2 and ldm.grid == Grid(SHAPE, (10.0,) * 3)
    for image, volume in zip(images, volumes):
        np.testing.assert_array_equal(image.get_fdata(dtype="float32"), volume)
        np.testing.assert_array_equal(image.affine, ldm.grid.affine)
        np.testing.assert_array_equal(image.affine, ldm.affine)
    flat = LDM(ldm.folder)
    flat.config["grid"] = None
    assert flat.grid is None and flat.affine is None
    with pytest.raises(InputError, match="no affine"):
        flat.generate(return_nifti=True, **options)


@pytest.mark.parametrize(
    "wrong", [{"guidance": "x"}, {"guidance_interval": "ab"}, {"batch_size": "1"}]
)
def test_what_is_no_number_is_refused(ldm, wrong):
    with pytest.raises(InputError, match="expected"):
        ldm.generate(**wrong)


def test_eta_is_that_of_the_sampler(ldm):
    ddim = {"steps": 3, "sampler": "ddim"}
    noisy = ldm.generate(eta=0.5, **ddim)
    wanted = ldm.generate(steps=3, sampler=partial(sample_ddim, eta=0.5))
    np.testing.assert_array_equal(noisy, wanted)
    still = ldm.generate(**ddim)
    np.testing.assert_array_equal(still, ldm.generate(eta=0.0, **ddim))
    assert np.abs(noisy - still).max() > 0.01


def test_guidance_outside_of_its_interval_is_none(ldm):
    options = {"steps": 3, "sampler": "euler", "conditions": {"age": 30}}
    plain = ldm.generate(guidance=1.0, **options)
    nowhere = ldm.generate(guidance=5.0, guidance_interval=(1e-9, 1e-8), **options)
    np.testing.assert_array_equal(nowhere, plain)
    within = ldm.generate(guidance=5.0, guidance_interval=(0.01, 100), **options)
    assert np.abs(within - plain).max() > 1e-3


def test_a_gaussian_denoiser_is_kept_with_the_model(ldm, tmp_path):
    """It answers above its threshold, before and after saving."""
    rng, shape = np.random.default_rng(0), ldm.network.shape
    made = LDM(ldm.folder)
    latents = rng.standard_normal((12, *shape)).astype("float32")
    conditions = np.stack([rng.uniform(-1, 1, 12), rng.integers(0, 2, 12)], axis=1)
    made.gaussian = GaussianDenoiser.fit(
        latents, conditions, np.ones(shape), categories=(0, 2)
    )
    made.gaussian.threshold = 0.5
    options = {"seed": 2, "steps": 3, "conditions": {"age": 30, "sex": "F"}}
    with_gaussian = made.generate(**options)
    assert np.abs(with_gaussian - ldm.generate(**options)).max() > 0.01
    again = LDM(made.save(tmp_path / "copy"))
    assert again.gaussian.threshold == 0.5
    np.testing.assert_allclose(again.generate(**options), with_gaussian, atol=0.02)
