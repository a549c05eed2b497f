"""Memory that does not grow with the cohort, where volumes lie on disk."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.evaluation import Volumes, load_volumes
from dipy_synth.evaluation.cohort_checks import find_identical
from dipy_synth.metrics.comparison import Metric, compare
from dipy_synth.metrics.diversity import similarity_within
from dipy_synth.metrics.features import VoxelPCA
from dipy_synth.metrics.fingerprint import Fingerprint
from dipy_synth.metrics.memorization import FeatureSearch, VoxelSearch
from dipy_synth.metrics.verdicts import check_brains, fit_acceptance_ranges
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.report.gallery import mean_and_std
from dipy_synth.synthesis.qc_filter import QCFilter
from dipy_synth.utils.rows import VolumeRows, as_rows, total

FEW, MANY = 40, 240


@pytest.fixture(scope="module")
def cohort(write_prepared, tmp_path_factory):
    """12 phantoms, from which cohorts of any size are made without files."""
    return Cohort.load(write_prepared(tmp_path_factory.mktemp("memory"), 12))


@pytest.fixture(scope="module")
def make(cohort, tmp_path_factory):
    """Return a function that makes a cohort of n volumes, mapped from a file."""
    root = tmp_path_factory.mktemp("mapped")
    brains = np.asarray(cohort.volumes())

    def write(n):
        path = root / f"{n}.npy"
        if not path.exists():
            shape = (n, *brains.shape[1:])
            stored = np.lib.format.open_memmap(path, "w+", np.float16, shape)
            for index in range(n):
                stored[index] = brains[index % len(brains)]
            stored.flush()
        stored = np.load(path, mmap_mode="r")

        class Mapped(Cohort):
            def volumes(self, split=None):
                if split is None:
                    return stored
                return VolumeRows(stored, np.flatnonzero(self.where(split)))

        keys = tuple(f"sub-{index:04d}" for index in range(n))
        split = np.array(["train", "train", "validation"] * n)[:n]
        rows = ({"age": "40"},) * n
        return Mapped(cohort.root, cohort.grid, keys, rows, split)

    return write


def peak(function, *arguments):
    """Measure the most memory that a call takes, in bytes."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read_all_batches(cohort):
    data = VolumeDataset(cohort.volumes("train"), batch_size=4)
    for index in range(len(data)):
        data[index]


def fit_qc_filter(cohort):
    QCFilter.fit(cohort, copies=False)


def add_all(cohort):
    total(cohort.volumes("train"))


class Thinned:
    """Stands for an autoencoder."""

    def __init__(self, shape):
        self.shape = shape

    def encode(self, images):
        return images[:, ::8, ::8, ::8]


def encode_all(cohort):
    vqvae = VQVAE(None)
    vqvae.network = Thinned(cohort.shape)
    vqvae.encode(cohort.volumes(), batch_size=4)


def judge_all(cohort):
    volumes = Volumes(cohort.volumes(), cohort.grid)
    find_identical(volumes, volumes)
    ranges = fit_acceptance_ranges(
        volumes.volumes[:12], grid=cohort.grid, tissues=False
    )
    check_brains(volumes.volumes, ranges)
    similarity_within(volumes.volumes, pairs=8)
    mean_and_std(volumes.volumes)


def find_components(cohort):
    VoxelPCA(cohort.volumes(), components=8, factor=4)


def search_voxels(cohort):
    VoxelSearch(cohort.volumes())


def search_fingerprints(cohort):
    volumes = cohort.volumes()
    FeatureSearch(volumes, Fingerprint(volumes, voxel_size=cohort.grid.voxel_size))


FUNCTIONS = [
    read_all_batches,
    fit_qc_filter,
    add_all,
    encode_all,
    judge_all,
    find_components,
    search_voxels,
    search_fingerprints,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_memory_does_not_grow_with_the_cohort(make, function):
    few, many = make(FEW), make(MANY)
    function(few)  # what is made once and kept
    volume = 4 * np.prod(few.shape)
    more = peak(function, many) - peak(function, few)
    # Rows of features, and LAPACK's work on them, which is counted from NumPy 2.5 on.
    assert more < 0.07 * (MANY - FEW) * volume


def test_draws_keep_no_copies_of_the_rows():
    few, many = (np.random.default_rng(0).normal(size=(n, 700)) for n in (FEW, MANY))
    metrics = {"shift": Metric(lambda a, b: float(a.mean() - b.mean()))}

    def draw(rows):
        compare(rows[:20], rows, rows[:20], metrics=metrics, repeats=100)

    draw(few)
    more = peak(draw, many) - peak(draw, few)
    assert more < 4 * (many.nbytes - few.nbytes)


def test_volumes_to_evaluate_are_mapped_from_a_file(cohort, tmp_path):
    image = nib.load(cohort.paths[0])
    for number in range(MANY):
        nib.save(image, tmp_path / f"brain{number:04d}.nii")
    found = []
    taken = peak(lambda: found.append(load_volumes(tmp_path)))
    volume = found[0].volumes[0].nbytes
    assert len(found[0]) == MANY and taken < 0.5 * MANY * volume + 3e6
    np.testing.assert_array_equal(found[0].volumes[3], found[0].volumes[0])


def test_rows_are_read_as_an_array_is(make):
    cohort = make(FEW)
    rows, array = cohort.volumes("train"), np.asarray(cohort.volumes("train"))
    assert rows.shape == array.shape and np.shape(rows) == array.shape
    assert len(rows) == len(array) and rows.dtype == array.dtype
    assert as_rows(rows) is rows and as_rows([1]).shape == (1,)
    for chosen in (0, -1, slice(2, 9), np.array([5, 1]), np.arange(len(rows)) % 2 == 0):
        np.testing.assert_array_equal(rows[chosen], array[chosen])
    np.testing.assert_array_equal(np.stack([*rows]), array)
    np.testing.assert_allclose(total(rows), array.sum(axis=0, dtype="float32"))
