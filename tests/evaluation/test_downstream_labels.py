"""Of use for labels: cohorts whose lesions are known."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.evaluation import Volumes
from dipy_synth.evaluation.downstream import compare_downstream, in_words
from dipy_synth.evaluation.downstream_tasks import LabelTask
from dipy_synth.evaluation.label_volumes import LabelMaps
from dipy_synth.grid import Grid
from dipy_synth.metrics.segmentation import VoxelClassifier, dice, voxel_features

GRID = Grid((16, 16, 16), (4.0,) * 3)


@pytest.fixture
def cohort(tmp_path):
    """Return a function that makes brains with a bright lesion, and its label map."""

    def make(n, seed, *, name="brains", moved=0, value=1, label="lesion", where=GRID):
        rng = np.random.default_rng(seed)
        volumes, paths = [], []
        for number in range(n):
            brain = np.zeros(GRID.shape, "float32")
            brain[2:14, 2:14, 2:14] = 0.5
            brain[brain > 0] += rng.normal(0, 0.1, 12**3)
            lesion, (i, j, k) = np.zeros(GRID.shape, bool), rng.integers(3, 9, 3)
            lesion[i : i + 4, j : j + 4, k : k + 4] = True
            brain[lesion] += 0.3
            maps = np.where(np.roll(lesion, moved, 0), value, 0).astype("uint8")
            paths.append(tmp_path / f"{name}{number}_dseg.nii.gz")
            nib.save(nib.Nifti1Image(maps, where.affine), paths[-1])
            volumes.append(brain.clip(0.05, 1) * (brain > 0))
        kept = LabelMaps(tuple(paths), {value: label})
        return Volumes(np.stack(volumes), GRID, name=name, label_maps=kept)

    return make


def compare(real, synthetic, train):
    (found,) = compare_downstream(real, synthetic, train, repeats=200)
    assert found.metric == "labels_dice" and found.baseline is None
    return found, {arm.trained_on: arm.score for arm in found.arms}


def test_right_labels_teach_and_wrong_ones_harm(cohort):
    real, train = cohort(12, 1, name="real"), cohort(10, 2, name="train")
    found, dices = compare(real, cohort(20, 3, name="made"), train)
    assert 0.5 < dices["synthetic"] <= 1 and abs(found.gain) < 0.1
    found, dices = compare(real, cohort(20, 3, name="wrong", moved=6), train)
    assert found.helped is False and found.gain < -0.1
    assert dices["synthetic"] < 0.3 < dices["real"]
    assert found.ceiling.gain < -0.05 < found.ceiling.real_gain
    words = in_words(found)
    assert words.startswith("labels of 12 held-out brains are found with a mean Dice")
    assert f"worse: {found.gain:+.2f} of Dice" in words


def test_labels_are_matched_by_name_and_not_by_value(cohort):
    real, train = cohort(12, 1, name="real"), cohort(10, 2, name="train")
    other = cohort(12, 3, name="made", value=9)
    assert compare(real, other, train)[1]["synthetic"] > 0.5
    other = cohort(12, 3, name="made", label="edema")
    with pytest.raises(InputError, match="no label has one name in all"):
        LabelTask.check(real, other, train)


def test_few_label_maps_are_refused(cohort):
    real, nine = cohort(12, 1, name="real"), cohort(9, 2, name="nine")
    with pytest.raises(InputError, match="nine: 9 brains with a label map; expected"):
        compare_downstream(real, real, nine)
    bare = Volumes(real.volumes, GRID, name="bare")
    with pytest.raises(InputError, match="bare: 0 brains with a label map"):
        compare_downstream(real, bare, real)


def test_label_maps_of_another_grid_are_read_by_the_nearest_voxel(cohort):
    kept = cohort(10, 1).label_maps
    small = Grid((8, 8, 8), (8.0,) * 3)
    coarse, fine = kept.read(0, small), kept.read(0, GRID)
    assert coarse.shape == small.shape and coarse.sum() == fine.sum() / 8
    assert kept.take([3, 4]).paths == kept.paths[3:5]


def test_label_maps_of_a_prepared_cohort_are_on_its_grid_whatever_their_affines(cohort):
    moved = GRID.centered_on(np.add(GRID.center, (20.0, 0.0, 0.0)))
    kept = cohort(10, 1, where=moved).label_maps
    own = kept.read(0, GRID)
    there = replace(kept, assumed=GRID).read(0, GRID)
    np.testing.assert_array_equal(there, nib.load(kept.paths[0]).get_fdata())
    assert not np.array_equal(own, there)
    np.testing.assert_array_equal(own[5:], there[:-5])  # 20 mm, 5 voxels


def test_features_of_voxels():
    volume = np.zeros((9, 8, 8))
    mask = np.zeros(volume.shape, bool)
    mask[4, 2, 3] = mask[0, 2, 3] = True
    volume[0, 2, 3] = 1
    features = voxel_features(volume, mask, (2.0, 3.0, 4.0))
    np.testing.assert_allclose(features[:, 0], [1, 0])
    np.testing.assert_allclose(features[:, -3:], [[8, -4.5, -2], [0, -4.5, -2]])
    assert features[0, 5] > 0 == features[1, 5]  # beside the other hemisphere


def test_dice():
    one = np.array([1, 1, 0, 0], bool)
    assert dice(one, one) == 1 and dice(one, ~one) == 0
    assert dice(one, np.array([1, 0, 0, 0], bool)) == pytest.approx(2 / 3)


def test_the_prior_of_a_label_is_its_share_and_not_what_was_drawn():
    rng = np.random.default_rng(0)
    features = [rng.normal([[0]] * 500 + [[2]] * 500, 1)]
    labels = [np.repeat([0, 1], 500)]
    edges = []
    for share in (0.5, 0.1):
        classifier = VoxelClassifier(features, labels, [[1 - share, share]])
        line = np.linspace(-1, 4, 501)[:, None]
        edges.append(line[np.argmax(classifier(line) == 1), 0])
    # of equal variances, at the middle, and log(9) / 2 to the rarer label
    assert edges == pytest.approx([1, 1 + np.log(9) / 2], abs=0.2)
    assert not VoxelClassifier(features, [labels[0] * 0], [[1, 0]])(line).any()
