"""Synthetic images on disk: one file, its record, adding to it, refusing."""

from pathlib import Path
import sys

import keras
import numpy as np
import pytest

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.sampling_settings import (
    DEFAULT_SAMPLING,
    SamplingSettings,
)
from dipy_synth.errors import InputError
from dipy_synth.models import find_model
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.synthesis.images import check_for_images, synthesize_images
from dipy_synth.synthesis.request import Request
from dipy_synth.utils.files import read_json
from dipy_synth.workflows.cli import run

DIGITS = ConditionSchema((Column("label", "category", categories=("0", "1", "3")),))


class Model:
    """Stands for an LDM: noise i of seed s at label c is an image filled by all."""

    schema, folder = DIGITS, Path("digits")
    config = {
        "grid": None,
        "version": "0.1.0",
        "weights_sha256": "abc",
        "sampling": dict(DEFAULT_SAMPLING),
    }

    def __init__(self):
        self.made = []

    def generate(self, *, seed, numbers, conditions, progress, **kwargs):
        self.schema.check(conditions)
        self.made += numbers
        progress(len(numbers))
        labels = [int(row.get("label") or 0) for row in conditions]
        values = [(100 * seed + 10 * i + c) / 255 for i, c in zip(numbers, labels)]
        return np.stack([np.full((4, 4), v, "float32") for v in values])


def first_pixels(path):
    return ArrayCohort.load(path).images[:, 0, 0].tolist()


def three(*, seed=0, **settings):
    sampling = SamplingSettings(**settings)
    return Request(seed=seed, conditions={"label": "3"}, sampling=sampling)


def test_images_lie_in_one_file_with_their_request(tmp_path):
    path = synthesize_images(Model(), tmp_path, n=3, request=three(seed=1, steps=5))
    cohort = ArrayCohort.load(path)
    assert (cohort.images.shape, cohort.images.dtype) == ((3, 4, 4), np.uint8)
    assert first_pixels(path) == [103, 113, 123]
    assert cohort.labels.tolist() == [3, 3, 3]
    written = read_json(tmp_path / "images.json")
    assert written["Synthetic"] and written["Model"]["SHA256"] == "abc"
    request = written["DipySynth"]
    assert {"Seed": 1, "Steps": 5}.items() <= request.items()
    assert (
        request["Sampler"] == DEFAULT_SAMPLING["sampler"]
    )  # what the model recommends
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {"images.npz", "images.json", "images.png"}


def test_more_can_be_requested_and_what_is_there_is_kept(tmp_path):
    model = Model()
    path = synthesize_images(model, tmp_path, n=2, request=three())
    stamp = path.stat().st_mtime_ns
    synthesize_images(model, tmp_path, n=2, request=three())
    synthesize_images(model, tmp_path, n=1, request=three())
    assert (model.made, path.stat().st_mtime_ns) == ([0, 1], stamp)
    synthesize_images(model, tmp_path, n=4, request=three())
    assert model.made == [0, 1, 2, 3]
    assert first_pixels(path) == [3, 13, 23, 33]
    assert len(ArrayCohort.load(path).labels) == 4


def test_a_sweep_and_a_cohort_to_match_give_each_its_label(tmp_path):
    sweep = Request(sweep={"label": ["1", "3"]})
    path = synthesize_images(Model(), tmp_path / "sweep", n=2, request=sweep)
    assert first_pixels(path) == [1, 3, 11, 13]
    rows = [{"label": "3"}, {"label": None}]
    matched = Request(participants=rows)
    path = synthesize_images(Model(), tmp_path / "matched", request=matched)
    cohort = ArrayCohort.load(path)
    assert [row["label"] for row in cohort.rows] == ["3", ""]
    none = Request(conditions={"label": 0})
    path = synthesize_images(Model(), tmp_path / "none", n=2, request=none)
    assert ArrayCohort.load(path).labels.tolist() == [0, 0]
    path = synthesize_images(Model(), tmp_path / "open", n=2)
    assert ArrayCohort.load(path).labels is None


def test_another_folder_is_never_touched(tmp_path):
    (tmp_path / "config.json").write_text("{}")  # of a model
    with pytest.raises(InputError, match="not empty, and no set of synthetic images"):
        synthesize_images(Model(), tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_another_request_is_refused_unless_forced(tmp_path):
    path = synthesize_images(Model(), tmp_path, n=2, request=three())
    with pytest.raises(InputError, match="Seed was 0, is 5"):
        synthesize_images(Model(), tmp_path, n=2, request=three(seed=5))
    assert first_pixels(path) == [3, 13]
    synthesize_images(Model(), tmp_path, n=1, request=three(seed=1), force=True)
    assert first_pixels(path) == [103]


def test_images_of_unknown_origin_are_not_touched(tmp_path):
    path = tmp_path / "images.npz"
    path.write_bytes(b"mine")
    for force in (False, True):
        with pytest.raises(InputError, match="images.json is missing"):
            synthesize_images(Model(), tmp_path, n=1, force=force)
    assert path.read_bytes() == b"mine"


def test_a_failure_leaves_nothing_half_made(tmp_path):
    class Broken(Model):
        def generate(self, **kwargs):
            raise MemoryError

    with pytest.raises(MemoryError):
        synthesize_images(Broken(), tmp_path / "new", n=1)
    assert not (tmp_path / "new").exists()
    path = synthesize_images(Model(), tmp_path, n=2)
    with pytest.raises(MemoryError):
        synthesize_images(Broken(), tmp_path, n=3)
    assert first_pixels(path) == [0, 10]


def test_what_cannot_be_made_is_refused_before_anything_is_written(tmp_path):
    refused = {
        "expected one of 0, 1, 3": {"request": Request(conditions={"label": "7"})},
        "n_samples 0": {"n": 0},
    }
    for message, options in refused.items():
        with pytest.raises(InputError, match=message):
            synthesize_images(Model(), tmp_path / "out", **options)
    brains = Model()
    brains.config = {**Model.config, "grid": {}}
    with pytest.raises(InputError, match="model of volumes"):
        synthesize_images(brains, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option",
    [{"gate": True}, {"engine": "joblib"}, {"n_jobs": 2}, {"scheduler": "tcp://a:1"}],
)
def test_options_of_volumes_are_refused(option):
    check_for_images()
    (name,) = option
    with pytest.raises(InputError, match=name):
        check_for_images(**option)


def test_the_bundled_model_of_digits_is_small_and_whole():
    folder = find_model("mnist")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6
    assert "Yann LeCun and Corinna Cortes" in (folder / "README.md").read_text()
    ldm = LDM("mnist")
    assert ldm.schema.columns[0].categories == tuple("0123456789")
    assert ldm.config["license"] == "CC BY-SA 3.0"


@pytest.fixture
def digits(tmp_path):
    """Folder of a model of images, never trained."""
    keras.utils.set_random_seed(0)
    ldm = LDM(None)
    ldm.vqvae, ldm.schema = VQVAE(None), DIGITS
    ldm.vqvae.network = PatchAutoencoder((8, 8), channels=(8, 8), blocks=1)
    shape = ldm.vqvae.network.latent_shape
    ldm.network = UNet(shape, widths=(8,), blocks=1, categories=(3,))
    ldm.normalizer = LatentNormalizer(
        np.zeros(shape), np.eye(shape[-1]), np.ones(shape)
    )
    split = {"train": ["a"], "validation": ["b"]}
    sampling = DEFAULT_SAMPLING | {"autoguidance": None}
    ldm.config = {"grid": None, "sampling": sampling, "split": split}
    return ldm.save(tmp_path / "model")


def test_the_command_makes_images_of_a_model_of_images(digits, monkeypatch, tmp_path):
    def command(*words):
        words = ["dipy_synth_mri", "--model", digits, *words, "--out_dir", out]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        return run()

    out = tmp_path / "out"
    asked = ("--n_samples", 9, "--conditions", "label=3", "--steps", 2)
    assert command(*asked, "--gate") == 1
    assert command(*asked, "--autoguidance", 2) == 1  # without a guide
    assert not out.exists()
    assert command(*asked) == 0
    cohort = ArrayCohort.load(out / "images.npz")
    assert cohort.images.shape == (9, 8, 8)
    assert cohort.labels.tolist() == [3] * 9
    assert not [*out.rglob("*.nii.gz")]
    assert command(*asked, "--eta", 0.5, "--sampler", "heun", "--force") == 1
    assert command(*asked, "--eta", 0.5, "--sampler", "ddim", "--force") == 0
    assert read_json(out / "images.json")["DipySynth"]["Eta"] == 0.5
