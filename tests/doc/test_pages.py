"""The documentation: a page a command, and no option, name or paper that is missing."""

import ast
import importlib
import importlib.util
import inspect
from itertools import product
import json
from pathlib import Path
import re
import runpy

import numpy as np
import pytest

from dipy_synth.data.nifti import write_volume
from dipy_synth.utils.files import write_json
from dipy_synth.workflows.cli import cli_flows

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("pages", ROOT / "doc/_ext/commands.py")
OPTIONS_OF_ALL = {"force", "log_level", "log_file", "version", "help", "out_strat"}


def flow_of(name):
    module, flow = cli_flows[name]
    return getattr(importlib.import_module(module), flow)


def parameters_of(name):
    return [p for p in inspect.signature(flow_of(name).run).parameters if p != "self"]


@pytest.fixture(scope="module")
def commands():
    module = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", cli_flows)
def test_the_page_of_a_command_explains_all_of_its_options(commands, name):
    page = commands.command_page(name, flow_of(name))
    assert page.startswith(f"{name}\n{'=' * len(name)}\n")
    for parameter in parameters_of(name):
        found = re.search(rf"^``(--)?{parameter}\b.*``\n {{4}}\S", page, re.MULTILINE)
        assert found, parameter


def test_an_index_names_all_commands(commands, tmp_path):
    paths = commands.write_pages(tmp_path)
    assert len(paths) == len(cli_flows) + 1
    index = (tmp_path / "index.rst").read_text()
    assert all(f":doc:`{name}`" in index for name in cli_flows)
    before = [path.stat().st_mtime_ns for path in paths]
    commands.write_pages(tmp_path)
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_the_age_page_holds_each_brain_and_stands_alone(tmp_path, monkeypatch):
    for number, (age, sex) in enumerate(product((20, 50, 80), "FM")):
        path = tmp_path / f"sub-{number}" / "anat" / f"sub-{number}_desc-synthetic_T1w"
        volume = np.full((8, 8, 8), number / 10, "float32")
        write_volume(path.with_name(f"{path.name}.nii.gz"), volume, np.eye(4))
        sidecar = {"Model": {"Name": "m", "Version": "1"}, "Seed": 3, "Steps": 24}
        sidecar["Conditions"] = {"age": age, "sex": sex}
        write_json(path.with_name(f"{path.name}.json"), sidecar)
    out = tmp_path / "ages.html"
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path), "--out", str(out)])
    runpy.run_path(str(ROOT / "doc/make_age_page.py"), run_name="__main__")
    text = out.read_text()
    pictures = json.loads(re.search(r"pictures = (.*), ages = (.*);", text)[1])
    assert [len(pictures[sex]) for sex in "FM"] == [3, 3]
    assert len({str(planes) for of in pictures.values() for planes in of}) == 6
    assert "from 20 to 80 years" in text and "50 years</output>" in text
    assert not re.search(r"src=.http|<link|@import", text)


def written_pages():
    pages = [*ROOT.glob("doc/*.rst"), *ROOT.glob("doc/guides/*.rst")]
    pages += [*ROOT.glob("doc/benchmarks/*.rst"), *ROOT.glob("doc/examples/*.py")]
    return [*pages, ROOT / "README.md", *ROOT.glob("benchmarks/make_*.sh")]


def shown_commands(text):
    """Yield each command line of a text as its command and the options given to it."""
    text = re.sub(r"\\\n[#\s]*", " ", text)
    for line in re.split(r"\n|&&", text):
        name, *words = line.lstrip("# ").split() or [""]
        if name in cli_flows:
            yield name, [word[2:] for word in words if re.match(r"--\w", word)]


@pytest.mark.parametrize("page", written_pages(), ids=lambda path: path.name)
def test_commands_that_are_shown_have_their_options(page):
    for name, options in shown_commands(page.read_text(encoding="utf-8")):
        unknown = {*options} - {*parameters_of(name)} - OPTIONS_OF_ALL
        assert not unknown, f"{name}: {unknown}"


def test_options_in_shown_commands_are_found():
    text = (
        "    dipy_synth_mri --n_samples 3 \\\n        --seeed 1\n#  dipy_fetch_t1 --x\n"
    )
    found = [*shown_commands(text)]
    assert found == [
        ("dipy_synth_mri", ["n_samples", "seeed"]),
        ("dipy_fetch_t1", ["x"]),
    ]


def test_the_interface_lists_names_that_exist():
    names = re.findall(
        r"^   (dipy_synth\.\S+)$", (ROOT / "doc/api.rst").read_text(), re.M
    )
    assert len(names) == len({*names}) > 100
    for name in names:
        module, attribute = name.rsplit(".", 1)
        assert attribute in vars(importlib.import_module(module)), name
    assert {f"{module}.{flow}" for module, flow in cli_flows.values()} <= {*names}


def examples():
    return sorted(ROOT.glob("doc/examples/plot_*.py"))


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.stem)
def test_examples_import_names_that_exist(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    for node in found:
        module = importlib.import_module(node.module)
        for alias in node.names:
            assert alias.name in vars(module), f"{node.module}.{alias.name}"
    assert found


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.stem)
def test_examples_begin_with_words_and_show_a_picture(path):
    text = path.read_text(encoding="utf-8")
    title, _, words = ast.get_docstring(ast.parse(text)).partition("\n\n")
    assert title.startswith("===") and len(words) > 100
    assert "plt.subplots(" in text


def cited(text):
    """Return the keys of the papers that a text cites."""
    found = re.findall(r":(?:foot)?cite:(?:[pt]:)?`([^`]+)`", text)
    return {key.strip() for keys in found for key in keys.split(",")}


def docstrings():
    """Yield the place and the text of each docstring of the package."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in sorted(ROOT.glob("dipy_synth/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds) and ast.get_docstring(node):
                place = f"{path.relative_to(ROOT)}, {getattr(node, 'name', 'module')}"
                yield place, ast.get_docstring(node)


def test_the_bibliography_holds_the_papers_that_are_cited_and_no_others():
    bibliography = (ROOT / "doc/references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),", bibliography, re.M)
    texts = [page.read_text(encoding="utf-8") for page in written_pages()]
    texts += [text for _, text in docstrings()]
    assert sorted(entries) == sorted(set.union(*map(cited, texts)))


def test_docstrings_that_cite_have_a_bibliography():
    section = "\nReferences\n----------\n.. footbibliography::"
    for place, text in docstrings():
        assert (section in text) == bool(cited(text)), place
        assert text.count("\nReferences\n") == text.count(section), place
        assert not cited(text.partition("\n\n")[0]), f"{place}: in the summary"
