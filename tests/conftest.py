"""Small cohorts of phantoms, written as the programs expect them on disk."""

import gc
from html.parser import HTMLParser
import os
from pathlib import Path

# Processes that share the cores (pytest -n) must not each start a thread a core. Said
# here, before a framework is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(_name, "1")

os.environ.setdefault("DIPY_SYNTH_PRECISION", "float32")  # equal to rounding

import nibabel as nib
import numpy as np
import pytest

from dipy_synth import __version__
from dipy_synth.data.prepared_folder import KIND
from dipy_synth.grid import TEMPLATE_SPACE, Grid
from dipy_synth.phantom import make_phantom
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import write_table

VOID = {"meta", "input", "br", "img", "link", "hr"}
LOADS = {"src", "href", "srcset", "data", "poster", "action", "background"}
TUMORS = (None, "glioblastoma", "meningioma", "low-grade")


class Page(HTMLParser):
    """Tags with their attributes, text, and tags that are not closed in order."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.open, self.wrong = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.wrong += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)

    def count(self, tag):
        return sum(found == tag for found, _ in self.tags)

    def values(self, *names):
        return [v for _, attrs in self.tags for n, v in attrs.items() if n in names]

    def check(self):
        """Assert that it stands alone, is well formed, and that its links have aims."""
        assert self.wrong == []
        anchors = self.values("id")
        assert len(anchors) == len({*anchors})
        for value in self.values(*LOADS):
            assert value.startswith("data:image/") or value[1:] in anchors, value[:80]
        assert not self.count("link") + self.count("iframe") + self.count("object")
        assert all(a.get("alt") is not None for tag, a in self.tags if tag == "img")
        assert self.count("main") == self.count("h1") == 1


@pytest.fixture(scope="module", autouse=True)
def _quick_garbage_collection():
    """Keep what a module leaves, traced graphs, out of later collections of garbage."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def read_page():
    """Return the class that parses a page: path -> tags, texts, checks."""
    return Page


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Return how many processes ``pytest -n auto`` starts: each takes 1 GB and more."""
    return min(4, os.cpu_count() or 1)


def _phantoms(n, grid, seed, tumors):
    """Yield (name, row of participants.tsv, phantom) for `n` subjects."""
    ages, sexes = np.linspace(22, 78, n).round(1), "FM"
    for i in range(n):
        kind = TUMORS[i % len(TUMORS)] if tumors else None
        phantom = make_phantom(
            seed + i,
            shape=grid.shape,
            voxel_size=grid.voxel_size,
            center=grid.center,
            age=ages[i],
            sex=sexes[i % 2],
            tumor={"kind": kind, "size_mm": 50.0} if kind else None,
        )
        name = f"sub-{i + 1:02d}"
        row = {"participant_id": name, "age": float(ages[i]), "sex": sexes[i % 2]}
        yield name, row | ({"tumor": kind or "none"} if tumors else {}), phantom


def _describe(root, kind, **more):
    content = {"Name": "Phantoms", "BIDSVersion": "1.10.0", "DatasetType": kind}
    write_json(root / "dataset_description.json", content | more)


def _save(data, affine, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def _write_cohort(
    root, n=4, *, shape=(20, 24, 20), voxel_size=8.0, seed=0, tumors=False, masks=False
):
    root, grid = Path(root), Grid(shape, np.broadcast_to(voxel_size, (3,)).tolist())
    rows = []
    for name, row, phantom in _phantoms(n, grid, seed, tumors):
        image = np.round(phantom.data * 1000).astype(np.int16)
        anat = root / name / "anat"
        _save(image, phantom.affine, anat / f"{name}_T1w.nii.gz")
        if masks:
            mask = phantom.mask.astype(np.uint8)
            folder = root / "derivatives" / "brainmask" / name / "anat"
            _save(mask, phantom.affine, folder / f"{name}_desc-brain_mask.nii.gz")
        rows.append(row)
    _describe(root, "raw", License="CC0")
    write_table(root / "participants.tsv", rows)
    return root


def _write_prepared(
    root, n=8, *, shape=(16, 24, 16), voxel_size=(10.0, 8.0, 10.0), seed=0, tumors=False
):
    root, grid = Path(root), Grid(shape, voxel_size)
    rows = []
    for name, row, phantom in _phantoms(n, grid, seed, tumors):
        stem = root / name / "anat" / name
        stem = f"{stem}_space-{TEMPLATE_SPACE}"
        image, mask = f"{stem}_desc-prepared_T1w", f"{stem}_desc-brain_mask.nii.gz"
        _save(phantom.data, phantom.affine, Path(f"{image}.nii.gz"))
        _save(phantom.mask.astype(np.uint8), phantom.affine, Path(mask))
        write_json(f"{image}.json", _sidecar(name, phantom))
        last = len(rows) % 3 == 2
        rows.append(row | {"split": "validation" if last else "train"})
    _describe(
        root,
        "derivative",
        GeneratedBy=[{"Name": "dipy_synth", "Version": __version__}],
        DipySynth={"Kind": KIND, "Grid": grid.to_config(), "Preprocessing": {}},
    )
    write_table(root / "participants.tsv", rows)
    return root


def _sidecar(name, phantom):
    voxel_ml = abs(np.linalg.det(phantom.affine)) / 1000
    return {
        "Sources": [f"{name}_T1w.nii.gz"],
        "NativeShape": list(phantom.data.shape),
        "NativeAffine": phantom.affine.tolist(),
        "PreparedToNative": np.eye(4).tolist(),
        "IntensityRange": [0.0, 1000.0],
        "Preprocessing": {},
        "BrainVolume": float(phantom.mask.sum() * voxel_ml),
        "DipySynthVersion": __version__,
    }


@pytest.fixture(scope="session")
def write_cohort():
    """Return a function that writes phantoms as a BIDS folder and returns its path.

    ``write_cohort(root, n=4, *, shape, voxel_size, seed, tumors, masks)``: brains
    only, int16 in [0, 1000]; `tumors` adds a column ``tumor`` (none or a kind),
    `masks` brain masks under ``derivatives/brainmask``.
    """
    return _write_cohort


@pytest.fixture(scope="session")
def write_prepared():
    """Return a function that writes a prepared cohort and returns its path.

    ``write_prepared(root, n=8, *, shape, voxel_size, seed, tumors)``; every third
    subject is in the validation split.
    """
    return _write_prepared


@pytest.fixture(scope="session")
def bids_folder(tmp_path_factory):
    """BIDS folder with 4 phantoms at 8 mm. Shared: read it, do not change it."""
    return _write_cohort(tmp_path_factory.mktemp("bids") / "cohort")


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory):
    """Prepared cohort, 8 phantoms of (16, 24, 16), 6 to train and 2 to validate."""
    return _write_prepared(tmp_path_factory.mktemp("prepared") / "cohort")
