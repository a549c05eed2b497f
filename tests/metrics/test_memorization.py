"""Copies are found where they are planted, and nowhere else."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.features import VoxelPCA
from dipy_synth.metrics.memorization import (
    COPIES,
    FeatureSearch,
    Neighbors,
    VoxelSearch,
    audit_copies,
    plant_copies,
)
from dipy_synth.phantom import make_phantom

SHAPE, SIZE = (36, 44, 38), 4.5


@pytest.fixture(scope="module")
def brains():
    return np.stack(
        [make_phantom(i, shape=SHAPE, voxel_size=SIZE).data for i in range(22)]
    )


@pytest.fixture(scope="module")
def search(brains):
    return VoxelSearch(brains[:10], factor=2, reach=2)


def test_held_out_brains_are_no_copies(brains, search):
    train, held_out, new = brains[:10], brains[10:20], brains[20:]
    audit = audit_copies(new, train, held_out, search=search)
    assert audit.flagged.mean() <= 0.25 and audit.p_value > 0.05
    assert audit.expected == pytest.approx(1 / 11)
    assert not np.any(audit.held_out.similarity > audit.threshold)


@pytest.mark.parametrize("kind", COPIES[:-1])
def test_planted_copies_are_flagged_and_led_back(brains, search, kind):
    train = brains[:10]
    planted = plant_copies(train[3:7], kind, seed=1)
    audit = audit_copies(planted, train, brains[10:], search=search)
    assert audit.flagged.all() and audit.p_value < 1e-3
    assert np.array_equal(audit.samples.index, [3, 4, 5, 6])
    assert np.all(audit.samples.flipped == (kind == "flipped"))
    assert audit.found[kind] == 1


def test_a_shift_by_whole_voxels_is_undone(brains, search):
    moved = np.roll(brains[4:5, ::-1], (1, -1, 0), axis=(1, 2, 3))
    found = search(moved)
    assert found.index[0] == 4 and found.flipped[0]
    assert found.similarity[0] == pytest.approx(1, abs=1e-5)


def test_a_shift_out_of_reach_is_not(brains):
    still = VoxelSearch(brains[:10], factor=2, reach=0)
    moved = np.roll(brains[4:5], 1, axis=1)
    assert still(moved).similarity[0] < 0.9


def test_copies_are_found_by_features_over_flips(brains):
    train = brains[:10]
    near = FeatureSearch(train, VoxelPCA(train, components=8, factor=4))
    found = near(train[2:3, ::-1])
    assert found.index[0] == 2 and found.flipped[0]
    assert found.similarity[0] == pytest.approx(0, abs=1e-4)


def test_an_audit_that_is_blind_is_void(brains):
    def blind(volumes):
        n = len(volumes)
        similarity = np.linspace(0, 1, n)
        return Neighbors(np.zeros(n, int), similarity, np.zeros(n, bool))

    audit = audit_copies(brains[:5], brains[:10], brains[10:], search=blind)
    assert audit.void and max(audit.found.values()) < 0.5


def test_p_value_is_the_chance_of_ranks(brains):
    """With h held-out brains, a like sample is above them all once in h + 1."""

    def ranks(volumes):
        n = len(volumes)
        top = 2.0 if n == 1 else 1.0
        return Neighbors(np.zeros(n, int), np.full(n, top), np.zeros(n, bool))

    audit = audit_copies(brains[:1], brains[:10], brains[10:19], search=ranks)
    assert audit.flagged.all() and audit.p_value == pytest.approx(1 / 10)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((0, *SHAPE)), "1 or more"),
        (np.zeros((2, 8, 8, 8)), "the grid"),
        (np.full((1, *SHAPE), np.nan), "volume 0 has values that are not finite"),
    ],
)
def test_bad_samples_are_reported(brains, search, samples, words):
    with pytest.raises(InputError, match=words):
        audit_copies(samples, brains[:10], brains[10:], search=search)
    with pytest.raises(InputError, match="kind of copy"):
        plant_copies(brains[:1], "rotated")
