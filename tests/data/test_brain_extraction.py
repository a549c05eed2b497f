"""Where the brain is found, and what is reported when it is not."""

import logging
import sys
from types import ModuleType
from urllib.error import URLError

from dipy.utils.logging import logger
import nibabel as nib
import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.data import brain_extraction as extraction, brain_networks
from dipy_synth.errors import InputError


@pytest.fixture
def stripped():
    """A box of 1.3 litres with a hole, and a speck far away."""
    data = np.zeros((20, 20, 20))
    data[5:16, 5:16, 5:16] = 100
    data[10, 10, 10] = 0
    data[0, 0, 0] = 3
    return data, np.diag([10.0, 10, 10, 1])


def test_nonzero_drops_specks_and_fills_holes(stripped):
    found = extraction.find_brain(*stripped, brain="nonzero")
    expected = np.zeros(found.shape, bool)
    expected[5:16, 5:16, 5:16] = True
    assert_array_equal(found, expected)


def test_a_slice_that_is_lost_does_not_cut_the_brain_in_two(stripped):
    data, affine = stripped
    data[:, :, 8] = 0
    found = extraction.find_brain(data, affine)
    assert found.sum() == 11**2 * 10
    assert "2 parts that do not touch" in extraction.without_islands(found)[1]


def test_auto_goes_by_the_mask_then_by_the_zeros(stripped):
    data, affine = stripped
    mask = (data > 50).astype(float) * 0.9
    assert_array_equal(extraction.find_brain(data, affine, mask=mask), mask > 0.5)
    assert extraction.find_brain(data, affine).sum() == 11**3


def test_a_whole_head_is_not_taken_for_a_brain(stripped, monkeypatch):
    data, affine = stripped
    monkeypatch.setitem(sys.modules, "deepbet", None)
    noisy = data + np.random.default_rng(0).random(data.shape)
    for head in (noisy, np.pad(np.ones((18, 18, 18)), 1)):
        assert not extraction.looks_stripped(head, affine)
        with pytest.raises(
            InputError, match="whole head .*(8000|5832) mL.*--brain deepbet"
        ):
            extraction.find_brain(head, affine)


@pytest.mark.parametrize("network", [None, ModuleType("deepbet")])
def test_a_crop_is_too_small_for_a_brain_and_for_a_head(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepbet", network)
    crop = np.random.default_rng(0).random((8, 8, 8))
    with pytest.raises(InputError, match="4.096 mL .* too small") as refused:
        extraction.choose_extractor(crop, np.diag([2.0, 2, 2, 1]))
    assert extraction.HOW_TO not in str(refused.value)


def test_a_head_that_fills_the_image_has_no_background(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepbet", None)
    whole = np.random.default_rng(0).random((10, 10, 10))
    with pytest.raises(InputError, match=r"head \(no background of one value\)"):
        extraction.choose_extractor(whole, np.diag([10.0, 10, 10, 1]))


@pytest.mark.parametrize("value", [-1000, 1, 0.3])
def test_a_background_of_any_value_is_no_brain(stripped, value):
    data, affine = stripped
    expected = extraction.find_brain(data, affine)
    data = np.where(data == 0, value, data)
    assert_array_equal(extraction.find_brain(data, affine), expected)
    found = extraction.find_brain(data, affine, brain="nonzero")
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "volume, brain, answer",
    [
        (2, "given", "refused"),
        (300, "deepbet", "unusual"),
        (1300, "nonzero", ""),
        (3000, "given", "unusual"),
        (6000, "given", "refused"),
        (6000, "none", ""),
        (2, "none", "refused"),
    ],
)
def test_volumes_that_no_brain_has_are_named(volume, brain, answer):
    if answer == "refused":
        with pytest.raises(InputError, match=f"{volume} mL, expected 500 to 2300"):
            extraction.check_volume_of(volume, brain)
    else:
        words = extraction.check_volume_of(volume, brain)
        assert bool(words) == bool(answer) and (not words or f"{volume} mL" in words)


def test_none_takes_everything_and_given_needs_a_mask(stripped):
    assert extraction.find_brain(*stripped, brain="none").all()
    with pytest.raises(InputError, match="no mask"):
        extraction.find_brain(*stripped, brain="given")


def test_a_network_that_cannot_be_had_says_what_it_needs(stripped, monkeypatch):
    def offline():
        raise ConnectionError("no route to host")

    monkeypatch.setitem(brain_networks.NETWORKS, "evac", offline)
    with pytest.raises(InputError, match="'evac': ConnectionError: no route.*weights"):
        extraction.find_brain(*stripped, brain="evac")


def test_a_package_that_is_not_there_is_named(stripped, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(InputError, match="'deepbet': .*dipy_synth.deepbet"):
        extraction.find_brain(*stripped, brain="deepbet")


def test_a_network_is_loaded_once_and_used_for_every_scan(stripped, monkeypatch, fresh):
    loaded = []

    def load():
        loaded.append(1)
        return lambda data, affine: data > 50

    monkeypatch.setitem(brain_networks.NETWORKS, "synthseg", load)
    data, affine = stripped
    for _ in range(2):
        found = extraction.find_brain(data, affine, mask=data < 0, brain="synthseg")
        assert_array_equal(found, data > 50)
    assert loaded == [1]


@pytest.fixture
def fresh():
    """Networks are kept between scans; not between tests."""
    brain_networks.load_network.cache_clear()
    yield
    brain_networks.load_network.cache_clear()


def fake_module(monkeypatch, name, **content):
    module = ModuleType(name)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


def test_deepbet_gets_an_image_and_gives_a_mask(stripped, monkeypatch, fresh):
    class BrainExtraction:
        def __init__(self, no_gpu):
            self.no_gpu = no_gpu

        def run(self, image):
            mask = (image.get_fdata() > 50).astype(np.uint8)
            return image, nib.Nifti1Image(mask, image.affine), 1.0

    fake_module(monkeypatch, "deepbet", BrainExtraction=BrainExtraction)
    data, affine = stripped
    assert_array_equal(extraction.find_brain(data, affine, brain="deepbet"), data > 50)
    head = data + np.random.default_rng(0).random(data.shape)  # by itself
    assert extraction.choose_extractor(head, affine) == "deepbet"
    assert_array_equal(extraction.find_brain(head, affine), data > 50)


class LikeDipy:
    """The signatures of DIPY's networks; notes what it was given."""

    given = []

    def __init__(self, *, verbose=False, use_cuda=False):
        logger.setLevel("INFO" if verbose else "CRITICAL")

    def predict(self, T1, affine, *, batch_size=None, return_prob=False):  # noqa: N803
        assert T1.dtype == np.float32 and T1.ndim == 3 and affine.shape == (4, 4)
        self.given.append(T1)
        return np.where(T1 > 50, 1, 0)


class LikeSynthSeg(LikeDipy):
    def predict(self, T1, affine, **options):  # noqa: N803
        labels = 17 * super().predict(T1, affine, **options)
        return labels, {17: "left hippocampus"}, (labels > 0).astype(float)


@pytest.mark.parametrize("name, kind", [("evac", LikeDipy), ("synthseg", LikeSynthSeg)])
def test_networks_of_dipy_are_asked_as_they_want(
    stripped, tmp_path, monkeypatch, fresh, name, kind
):
    names = {"EVACPlus": kind, "SynthSeg": kind}
    fake_module(monkeypatch, "dipy.nn")
    fake_module(monkeypatch, f"dipy.nn.{name}", **names)
    monkeypatch.setattr(brain_networks, "dipy_home", str(tmp_path))
    (tmp_path / name).mkdir()
    (tmp_path / name / "weights.pth").touch()
    (data, affine), level = stripped, logger.level
    logger.setLevel("WARNING")
    try:
        for number in (1, 2):  # one volume at a time: earlier masks stay
            whole = (data * number).astype(np.uint8)
            found = extraction.find_brain(whole, affine, brain=name)
            assert found.dtype == bool
            assert_array_equal(found, whole > 50)
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(level)


def test_offline_is_reported_at_once(tmp_path, monkeypatch, fresh):
    asked = []

    class Evac:
        def __init__(self, verbose):
            pass

        def predict(self, data, affine):
            return "mask"

    def no_route(request, timeout):
        asked.append((request.full_url, timeout))
        raise URLError("Name or service not known")

    monkeypatch.setattr(brain_networks, "urlopen", no_route)
    monkeypatch.setattr(brain_networks, "dipy_home", str(tmp_path))
    with pytest.raises(InputError, match="no weights in .*evac.*cannot be reached"):
        brain_networks.load_network("evac")
    assert len(asked) == 1 and asked[0][1] <= 10
    (tmp_path / "evac").mkdir()
    (tmp_path / "evac" / "evac_weights.pth").touch()
    fake_module(monkeypatch, "dipy.nn")
    fake_module(monkeypatch, "dipy.nn.evac", EVACPlus=Evac)
    assert brain_networks.load_network("evac")("data", "affine") == "mask"
    assert len(asked) == 1


def test_a_network_that_fails_on_a_scan_is_reported(stripped, monkeypatch, fresh):
    def find(data, affine):
        raise AssertionError("Not enough foreground")

    monkeypatch.setitem(brain_networks.NETWORKS, "deepbet", lambda: find)
    with pytest.raises(InputError, match="'deepbet' failed on this image.*foreground"):
        extraction.find_brain(*stripped, brain="deepbet")


def test_empty_images_and_masks_are_refused(stripped):
    data, affine = stripped
    with pytest.raises(InputError, match="every voxel is 0"):
        extraction.find_brain(data * 0, affine, brain="nonzero")
    with pytest.raises(InputError, match="all zero"):
        extraction.find_brain(data, affine, mask=data * 0)
