"""Where the brain is found, and how it is told when it is not."""

import sys
from types import ModuleType

import nibabel as nib
import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.data import brain
from dipy_synth.errors import InputError


@pytest.fixture
def stripped():
    """A box of 1.3 litres with a hole, and a speck far away."""
    data = np.zeros((20, 20, 20))
    data[5:16, 5:16, 5:16] = 100
    data[10, 10, 10] = 0
    data[0, 0, 0] = 3
    return data, np.diag([10.0, 10, 10, 1])


def test_nonzero_takes_the_largest_part_and_fills_holes(stripped):
    found = brain.find_brain(*stripped, brain="nonzero")
    expected = np.zeros(found.shape, bool)
    expected[5:16, 5:16, 5:16] = True
    assert_array_equal(found, expected)


def test_auto_goes_by_the_mask_then_by_the_zeros(stripped):
    data, affine = stripped
    mask = (data > 50).astype(float) * 0.9
    assert_array_equal(brain.find_brain(data, affine, mask=mask), mask > 0.5)
    assert brain.find_brain(data, affine).sum() == 11**3


def test_a_whole_head_is_not_taken_for_a_brain(stripped):
    data, affine = stripped
    for head in (data + 1, np.pad(np.ones((18, 18, 18)), 1)):
        assert not brain.looks_stripped(head, affine)
        with pytest.raises(
            InputError, match="whole head .*8000 mL|whole head .*5832 mL"
        ):
            brain.find_brain(head, affine)


def test_none_takes_everything_and_given_needs_a_mask(stripped):
    assert brain.find_brain(*stripped, brain="none").all()
    with pytest.raises(InputError, match="no mask"):
        brain.find_brain(*stripped, brain="given")


def test_a_network_that_cannot_be_had_says_what_it_needs(stripped, monkeypatch):
    def offline():
        raise ConnectionError("no route to host")

    monkeypatch.setitem(brain.NETWORKS, "evac", offline)
    with pytest.raises(InputError, match="'evac': ConnectionError: no route.*weights"):
        brain.find_brain(*stripped, brain="evac")


def test_a_package_that_is_not_there_is_named(stripped, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(InputError, match="'deepbet': .*dipy_synth.deepbet"):
        brain.find_brain(*stripped, brain="deepbet")


def test_a_network_is_loaded_once_and_asked_for_every_scan(stripped, monkeypatch):
    loaded = []

    def load():
        loaded.append(1)
        return lambda data, affine: data > 50

    brain.load_network.cache_clear()
    monkeypatch.setitem(brain.NETWORKS, "synthseg", load)
    data, affine = stripped
    for _ in range(2):
        found = brain.find_brain(data, affine, mask=data < 0, brain="synthseg")
        assert_array_equal(found, data > 50)
    assert loaded == [1]
    brain.load_network.cache_clear()


def test_deepbet_gets_a_file_and_gives_a_mask(stripped, monkeypatch):
    def run_bet(images, mask_paths, **options):
        image = nib.load(images[0])
        mask = (image.get_fdata() > 50).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, image.affine), mask_paths[0])

    brain.load_network.cache_clear()
    fake = ModuleType("deepbet")
    fake.run_bet = run_bet
    monkeypatch.setitem(sys.modules, "deepbet", fake)
    data, affine = stripped
    assert_array_equal(brain.find_brain(data, affine, brain="deepbet"), data > 50)
    brain.load_network.cache_clear()


def test_empty_images_and_masks_are_refused(stripped):
    data, affine = stripped
    with pytest.raises(InputError, match="every voxel is 0"):
        brain.find_brain(data * 0, affine, brain="nonzero")
    with pytest.raises(InputError, match="all zero"):
        brain.find_brain(data, affine, mask=data * 0)
