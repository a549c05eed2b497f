"""Fingerprints find changed copies, and take no other brain for one."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.fingerprint import Fingerprint
from dipy_synth.metrics.memorization import (
    COPIES,
    FeatureSearch,
    audit_copies,
    plant_copies,
)
from dipy_synth.phantom import make_phantom

SHAPE, SIZE = (36, 44, 38), (4.5,) * 3


@pytest.fixture(scope="module")
def brains():
    made = (make_phantom(i, shape=SHAPE, voxel_size=SIZE).data for i in range(22))
    return np.stack([*made])


@pytest.fixture(scope="module")
def search(brains):
    return FeatureSearch(brains[:10], Fingerprint(brains[:10], voxel_size=SIZE))


def test_an_audit_by_fingerprints_is_not_void(brains, search):
    audit = audit_copies(brains[20:], brains[:10], brains[10:20], search=search)
    assert not audit.void and set(audit.found) == set(COPIES)
    assert not audit.copies.any() and audit.p_value > 0.05


@pytest.mark.parametrize("kind", COPIES)
def test_changed_copies_lead_back_to_their_originals(brains, search, kind):
    copied = plant_copies(brains[2:6], kind, seed=3)
    found, others = search(copied), search(brains[10:20])
    assert found.index.tolist() == [2, 3, 4, 5]
    assert found.similarity.min() > others.similarity.max()
    assert np.all(found.flipped == (kind in ("flipped", COPIES[-1])))


def test_distance_is_a_correlation_and_no_shift_moves_it(brains):
    extract = Fingerprint(brains[:10], voxel_size=SIZE)
    first, moved = extract(
        np.stack([brains[3], np.roll(brains[3], (1, -2, 1), (0, 1, 2))])
    )
    assert np.linalg.norm(first) == pytest.approx(1)
    assert first @ moved > 0.99
    assert abs(first @ extract(brains[12:13])[0]) < 0.7


def test_what_is_no_brain_is_refused(brains):
    with pytest.raises(InputError, match="no brain in their mean"):
        Fingerprint(np.zeros((3, *SHAPE)), voxel_size=SIZE)
    extract = Fingerprint(brains[:10], voxel_size=SIZE)
    assert np.all(np.isfinite(extract(np.zeros((1, *SHAPE)))))
    with pytest.raises(InputError, match="expected"):
        extract(np.zeros((1, 20, 20, 20)))
