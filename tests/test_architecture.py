"""Who may import whom: a module imports only from floors below it.

Each checker takes the folder that holds the package and gives its findings, one
string each. So the checker that must find nothing in the real package is also shown
to find an offender planted in a small package of its own.
"""

import ast
from functools import cache
from pathlib import Path
import subprocess
import sys
from typing import NamedTuple

import pytest

PACKAGE = "dipy_synth"
ROOT = Path(__file__).parents[1]
IMAGES = "dipy nibabel nilearn SimpleITK"

# Module or folder: the libraries it may import, from the lowest up. A row imports only
# from itself and from rows above it here. A new file needs a row, or a folder's row.
FLOORS = {
    # floor 0: NumPy alone
    PACKAGE: "",
    "errors": "numpy",
    "utils": "numpy",
    "utils.progress": "tqdm",
    "utils.startup": "keras",
    "utils.parallel": "dask dipy joblib distributed ray",
    "utils.montage": "numpy matplotlib",
    "models": "",
    "grid": "numpy",
    "conditions": "numpy",
    "phantom": "numpy",
    # floor 1: images and cohorts
    "data": f"{IMAGES} numpy scipy deepbet xlrd",
    "data.dataset": f"{IMAGES} numpy scipy keras",
    # floor 2: mathematics
    "diffusion": "numpy scipy keras",
    "metrics": "dipy nilearn numpy scipy sklearn keras",
    # floor 3: networks
    "networks": "numpy scipy sklearn keras",
    # floor 4: what a person calls
    "training": "numpy keras tensorflow matplotlib",
    "store": "numpy",
    "synthesis.qc_filter": "numpy dipy",
    "nn": "numpy scipy keras tensorflow matplotlib dipy",
    "synthesis": "numpy dipy",
    "evaluation": "nibabel numpy scipy",
    # floor 5
    "report": f"{IMAGES} numpy scipy matplotlib jinja2",
    "diagnostics": f"{IMAGES} numpy scipy keras matplotlib",
    # floor 6: the command line
    "workflows": f"{IMAGES} numpy scipy keras matplotlib",
}
# What importing a module must not load, not even by way of another module: networks
# and training run where no image library is, --help waits for no framework, and a
# cohort is prepared and evaluated without one.
NEVER_LOADED = {
    "diffusion": IMAGES,
    "networks": IMAGES,
    "training": IMAGES,
    "store": f"{IMAGES} keras tensorflow",
    "report": "keras tensorflow",
    "evaluation": "keras tensorflow",
    "synthesis": "tensorflow",
    "workflows": "keras tensorflow matplotlib",
}
# Imported inside functions only: TensorFlow is one backend of three, pictures are
# rare, and extras need not be installed.
LAZY = tuple("dask distributed joblib matplotlib ray sklearn tensorflow xlrd".split())
IMPORTERS = ("import_module", "__import__", "optional_package")
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}


class Import(NamedTuple):
    """One import: where, what (dotted), and whether it waits inside a function."""

    module: str
    target: str
    line: int
    lazy: bool

    def __str__(self):
        return f"{self.module}, line {self.line}: imports {self.target}"


@cache  # a root is planted once, before it is looked at
def modules_of(root):
    """Return the modules under `root`: dotted name in the package -> syntax tree."""
    trees = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        trees[".".join(parts) or PACKAGE] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def walk(node, inside=False):
    """Yield (node, whether it is in a function), depth first."""
    yield node, inside
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from walk(child, inside or isinstance(node, functions))


def targets_of(node):
    """Return the dotted names a node imports, ``from a import b`` as "a.b"."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args:
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in IMPORTERS and isinstance(node.args[0], ast.Constant):
            return [str(node.args[0].value)]
    return []


@cache
def imports_of(root):
    """Return every import in the package, those inside functions too."""
    return [
        Import(module, target, node.lineno, lazy)
        for module, tree in modules_of(root).items()
        for node, lazy in walk(tree)
        for target in targets_of(node)
    ]


def library(target):
    """Return the first part of a dotted name: the library it belongs to."""
    return target.split(".")[0]


def longest(name, names):
    """Return the longest of `names` that is `name` or a folder above it, or ""."""
    while name and name not in names:
        name = name.rpartition(".")[0]
    return name


def reached(target, modules):
    """Name the module of the package that an import reaches, or ""."""
    if library(target) != PACKAGE:
        return ""
    return longest(target.removeprefix(PACKAGE).lstrip("."), modules) or PACKAGE


def place(module):
    """Return the row of a module in the table, 0 the lowest; -1 when it has none."""
    return [*FLOORS].index(row) if (row := longest(module, FLOORS)) else -1


def edges_of(root, *, lazy):
    """Return module -> modules it imports, with those inside functions when `lazy`."""
    modules = modules_of(root)
    edges = {module: set() for module in modules}
    for found in imports_of(root):
        if lazy or not found.lazy:
            edges[found.module].add(reached(found.target, modules))
    return {module: ends - {"", PACKAGE} for module, ends in edges.items()}


def reachable(start, edges):
    """Return the modules `start` leads to; itself is one when it is in a cycle."""
    seen, waiting = set(), [*edges[start]]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(edges[module])
    return seen


def unlisted_modules(root):
    """Find modules that nobody gave a floor."""
    return [f"{m}: not in the table" for m in modules_of(root) if place(m) < 0]


def upward_imports(root):
    """Find imports from a higher floor, or from a later row of the same floor."""
    modules = modules_of(root)
    found = [(i, reached(i.target, modules)) for i in imports_of(root)]
    return [str(i) for i, to in found if to and place(to) > place(i.module)]


def cyclic_imports(root):
    """Find modules that lead back to themselves."""
    edges = edges_of(root, lazy=True)
    return [f"{m}: in a cycle of imports" for m in edges if m in reachable(m, edges)]


def foreign_imports(root):
    """Find libraries imported where the table does not name them."""
    known = {PACKAGE, "", *sys.stdlib_module_names}
    return [
        str(i)
        for i in imports_of(root)
        if library(i.target) not in known
        if library(i.target) not in FLOORS.get(longest(i.module, FLOORS), "").split()
    ]


def eager_imports(root):
    """Find libraries that should wait inside a function and do not."""
    found = [i for i in imports_of(root) if library(i.target) in LAZY]
    return [str(i) for i in found if not i.lazy]


def hidden_imports(root):
    """Find libraries loaded by way of other modules of the package."""
    edges = edges_of(root, lazy=False)
    for module, ends in edges.items():
        ends |= {module.rpartition(".")[0]} & {*edges}  # its __init__ is loaded too
    eager, findings = [i for i in imports_of(root) if not i.lazy], []
    for start in edges:
        never = NEVER_LOADED.get(library(start), "").split()
        loaded = {start, *reachable(start, edges)}
        found = [i for i in eager if i.module in loaded]
        findings += [f"{start}: {i}" for i in found if library(i.target) in never]
    return findings


def imports_tensorflow(tree):
    """Return whether code imports TensorFlow, inside a function or not."""
    targets = [target for node in ast.walk(tree) for target in targets_of(node)]
    return any(library(target) == "tensorflow" for target in targets)


def too_much_tensorflow(root):
    """Return the files that import TensorFlow when they are more than one."""
    files = [m for m, tree in modules_of(root).items() if imports_tensorflow(tree)]
    return files if len(files) > 1 else []


def is_forbidden(node):
    """Recognise hasattr, global, tf.data, relative imports, every door to pickle."""
    if isinstance(node, ast.Name):
        return node.id == "hasattr"
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in ("tf.data", "tensorflow.data")
    if isinstance(node, ast.keyword):
        return node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
    if isinstance(node, ast.Global):
        return True
    targets = targets_of(node)
    data = any(f"{target}.".startswith("tensorflow.data.") for target in targets)
    pickle = bool(PICKLES & {library(target) for target in targets})
    return data or pickle or any(target.startswith(".") for target in targets)


def forbidden_words(root):
    """Find what the house does without."""
    return [
        f"{module}, line {node.lineno}: {ast.unparse(node)}"
        for module, tree in modules_of(root).items()
        for node in ast.walk(tree)
        if is_forbidden(node)
    ]


def loaded_with_the_package(root):
    """Import the package in a new process; give the libraries that came along."""
    slow = ("dipy", "keras", "nibabel", "numpy", "scipy", "tensorflow", "torch", "jax")
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import {PACKAGE};"
        f"assert {PACKAGE}.__file__.startswith({str(root)!r});"
        f"print(*[name for name in {slow} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def plant(root, files):
    """Write a package: an empty one, and `files` (path -> source) in it."""
    for path, source in {"__init__.py": "", **files}.items():
        path = root / PACKAGE / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


INNOCENT = {
    "grid.py": '"""Has no hasattr, tf.data, tensorflow."""\nimport numpy as np',
    "data/__init__.py": "",
    "data/augment.py": "import numpy",
    "data/readers.py": "import json\nimport nibabel\nfrom dipy_synth.grid import Grid",
    "data/dataset.py": "import keras\nfrom dipy_synth.data import readers",
    "networks/blocks.py": "import keras\nkeras.ops\n",
    "networks/unet.py": "from dipy_synth.networks.blocks import Block",
    "training.py": "from dipy_synth.data import augment\ndef f():\n import tensorflow",
    "store.py": "np.load('tensorflow', allow_pickle=False)\n",
    "nn/__init__.py": "",
    "nn/vqvae.py": "from dipy_synth import __version__, store, training",
    "nn/ldm.py": "from dipy.utils.logging import logger\nimport dipy_synth.nn.vqvae",
    "report.py": "def f():\n import matplotlib.pyplot",
    "workflows/train.py": "def run():\n    from dipy_synth.nn.ldm import LDM",
}


# Each line: the checker, a file, and the source in it that the checker must find.
OFFENDERS = (
    (unlisted_modules, "helpers.py", ""),
    (unlisted_modules, "gridlock.py", ""),
    (upward_imports, "grid.py", "import dipy_synth.store"),
    (upward_imports, "__init__.py", "from dipy_synth.grid import Grid"),
    (upward_imports, "utils/files.py", "importlib.import_module('dipy_synth.grid')"),
    (upward_imports, "data/augment.py", "def f():\n from dipy_synth import report"),
    (upward_imports, "data/readers.py", "from dipy_synth.data.dataset import A"),
    (upward_imports, "training.py", "from dipy_synth.store import load"),
    (cyclic_imports, "nn/vqvae.py", "def f():\n import dipy_synth.nn.ldm"),
    (cyclic_imports, "networks/blocks.py", "from dipy_synth.networks import unet"),
    (forbidden_words, "nn/ldm.py", "from . import vqvae"),
    (foreign_imports, "grid.py", "import scipy.ndimage"),
    (foreign_imports, "data/readers.py", "def f():\n import keras"),
    (foreign_imports, "data/dataset.py", "import matplotlib"),
    (foreign_imports, "diffusion/samplers.py", "import nibabel"),
    (foreign_imports, "networks/unet.py", "from dipy.utils.logging import logger"),
    (foreign_imports, "training.py", "from dipy.io import image"),
    (foreign_imports, "store.py", "import nibabel as nib"),
    (foreign_imports, "nn/vqvae.py", "import torch"),
    (eager_imports, "training.py", "if True:\n    import tensorflow as tf"),
    (eager_imports, "report.py", "from matplotlib import pyplot"),
    (hidden_imports, "training.py", "import dipy_synth.data.readers"),
    (hidden_imports, "store.py", "from dipy_synth.data.dataset import Cohort"),
    (hidden_imports, "workflows/train.py", "import dipy_synth.networks.unet"),
    (hidden_imports, "workflows/__init__.py", "import keras"),
    (hidden_imports, "data/__init__.py", "import dipy"),
    (too_much_tensorflow, "diagnostics.py", "def f():\n    import tensorflow.data"),
    (too_much_tensorflow, "nn/ldm.py", "def f():\n    import tensorflow as tf"),
    (forbidden_words, "grid.py", "hasattr(1, 'a')"),
    (forbidden_words, "grid.py", "def f():\n    global a\n    a = 1"),
    (forbidden_words, "grid.py", "import pickle"),
    (forbidden_words, "grid.py", "def f():\n    from dill import dumps"),
    (forbidden_words, "store.py", "np.load('a', allow_pickle=True)"),
    (forbidden_words, "training.py", "tf.data.Dataset.from_tensors(1)"),
    (forbidden_words, "training.py", "from tensorflow.data import Dataset"),
    (forbidden_words, "training.py", "from tensorflow import data"),
    (loaded_with_the_package, "__init__.py", "import numpy"),
    (loaded_with_the_package, "__init__.py", "from . import data\nimport nibabel"),
)


CHECKERS = [*dict.fromkeys(checker for checker, _, _ in OFFENDERS)]


def name_of(item):
    return item.__name__ if callable(item) else None


@pytest.mark.parametrize("checker", CHECKERS, ids=name_of)
def test_package_keeps_to_its_floors(checker):
    assert checker(ROOT) == []


@pytest.mark.parametrize("checker", CHECKERS, ids=name_of)
def test_innocent_package_passes(checker, tmp_path):
    assert checker(plant(tmp_path, INNOCENT)) == []


@pytest.mark.parametrize("checker, path, source", OFFENDERS, ids=name_of)
def test_offender_is_found(checker, path, source, tmp_path):
    assert checker(plant(tmp_path, {**INNOCENT, path: source}))
