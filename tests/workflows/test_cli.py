"""Commands, flows and pyproject.toml agree; help is quick; errors are one line."""

import importlib
import inspect
import json
from pathlib import Path
import re
import subprocess
import sys
import tomllib
from types import SimpleNamespace

from dipy.workflows.base import IntrospectiveArgumentParser
from dipy.workflows.docstring_parser import NumpyDocString
from dipy.workflows.workflow import Workflow
import pytest

from dipy_synth import __version__
from dipy_synth.data.nifti import write_volume
from dipy_synth.phantom import make_phantom
from dipy_synth.workflows.cli import cli_flows

ROOT = Path(__file__).parents[2]
FLOWS = ROOT / "dipy_synth" / "workflows"

# A command of the tests' own: it ends as its one argument says.
FAKE = '''
import logging
import warnings

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.errors import InputError


class FakeFlow(Workflow):
    def run(self, end, fast=False, out_dir="."):
        """End as requested.

        Parameters
        ----------
        end : string
            How to end.
        fast : bool, optional
            Nothing.
        out_dir : string, optional
            Nothing.
        """
        logger.debug("dipy debug")
        logger.info("dipy info")
        logger.warning("our warning")
        logging.getLogger("matplotlib.font_manager").info("fonts were listed")
        ends = {
            "input": InputError("scan.nii.gz: 4D,\\n  expected 3D"),
            "exists": FileExistsError("out.nii.gz exists"),
            "diverged": FloatingPointError("run: the loss is nan"),
            "memory": MemoryError("run: out of memory"),
            "silent": MemoryError(),
            "full": OSError(28, "No space left on device", "out.nii.gz"),
            "full, no name": OSError(28, "No space left on device"),
            "read only": OSError(30, "Read-only file system", "out/a.json"),
            "device": OSError(5, "Input/output error", "out.nii.gz"),
            "ctrl_c": KeyboardInterrupt(),
            "bug": ZeroDivisionError("ours"),
        }
        if end == "missing":
            open("absent.nii.gz")
        if end in ends:
            raise ends[end]
        if end == "warned":
            warnings.warn("age=120 is outside", stacklevel=2)
        return False if end == "failed" else 7
'''
# Forks a process for each line of its input, a folder and the words of a command: so
# the commands are imported once. What follows the loop is that process.
SERVER = """
import json
import os
import sys

from dipy_synth.workflows.cli import cli_flows, run

for line in sys.stdin:
    if not (child := os.fork()):
        break
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()
folder, *sys.argv = json.loads(line)
os.chdir(folder)
for number, name in enumerate((os.devnull, "stdout.txt", "stderr.txt")):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
cli_flows["dipy_fake"] = ("fake", "FakeFlow")
sys.path.insert(0, folder)
if sys.argv[0] == "dipy_evaluate_mri":
    from dipy_synth.evaluation import evaluate

    evaluate.__kwdefaults__["repeats"] = 4  # of 100, for time
try:
    status = run()
finally:
    loaded = {"keras", "tensorflow", "torch", "jax", "matplotlib"} & set(sys.modules)
    print("LOADED", *loaded)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def server():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def command(server, tmp_path):
    """Return a function that runs a command in a process of its own."""

    def run(name, *options):
        (tmp_path / "fake.py").write_text(FAKE)
        line = json.dumps([str(tmp_path), name, *map(str, options)])
        print(line, file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        texts = [(tmp_path / f"std{end}.txt") for end in ("out", "err")]
        found = SimpleNamespace(returncode=status)
        found.stdout, found.stderr = (path.read_text() for path in texts)
        for path in texts:
            path.unlink()
        return found

    return run


def command_name(flow_name):
    """Return the command of a flow: SynthMRIFlow -> dipy_synth_mri.

    "Flow" goes, an underscore comes before each capital that follows a small letter
    or a digit (so MRI, LDM and T1 stay whole), everything becomes small.
    """
    stem = flow_name.removesuffix("Flow")
    return "dipy_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()


def flows():
    """Return every flow defined in the package: class -> its module's name."""
    found = {}
    for path in sorted(FLOWS.glob("*.py")):
        name = f"dipy_synth.workflows.{path.stem}".removesuffix(".__init__")
        for _, item in inspect.getmembers(
            importlib.import_module(name), inspect.isclass
        ):
            if issubclass(item, Workflow) and item.__module__ == name:
                found[item] = name
    return found


def load(name):
    """Import the flow of a command."""
    module, flow = cli_flows[name]
    return getattr(importlib.import_module(module), flow)


def documented(flow):
    """Return what the docstring of `run` lists: name -> type."""
    rows = NumpyDocString(inspect.getdoc(flow.run))["Parameters"]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1] for row in rows}


def parameters(flow):
    """Return the parameters of `run` but self: name -> inspect.Parameter."""
    signature = dict(inspect.signature(flow.run).parameters)
    signature.pop("self")
    return signature


@pytest.mark.parametrize(
    "flow_name, expected",
    [
        ("SynthMRIFlow", "dipy_synth_mri"),
        ("SynthDoctorFlow", "dipy_synth_doctor"),
        ("PreprocessT1Flow", "dipy_preprocess_t1"),
        ("ReconstructMRIFlow", "dipy_reconstruct_mri"),
        ("TrainVQVAEFlow", "dipy_train_vqvae"),
        ("TrainLDMFlow", "dipy_train_ldm"),
        ("TrainPredictorFlow", "dipy_train_predictor"),
        ("FetchT1Flow", "dipy_fetch_t1"),
    ],
)
def test_command_name(flow_name, expected):
    assert command_name(flow_name) == expected


def test_commands_scripts_and_flows_are_the_same():
    with open(ROOT / "pyproject.toml", "rb") as stream:
        scripts = tomllib.load(stream)["project"]["scripts"]
    assert scripts == dict.fromkeys(cli_flows, "dipy_synth.workflows.cli:run")
    defined = {command_name(c.__name__): (m, c.__name__) for c, m in flows().items()}
    assert defined == cli_flows


@pytest.mark.parametrize("name", cli_flows)
def test_docstring_lists_the_parameters_of_run(name):
    flow = load(name)
    assert list(documented(flow)) == list(parameters(flow))


@pytest.mark.parametrize("name", cli_flows)
def test_outputs_are_named_out_and_come_last(name):
    """DIPY takes any name with ``out_`` in it, ``dropout_rate`` too, for an output."""
    names = list(parameters(load(name)))
    outputs = [n for n in names if n.startswith("out_")]
    assert outputs == [n for n in names if "out_" in n]
    assert outputs == names[len(names) - len(outputs) :]
    assert outputs


@pytest.mark.parametrize("name", cli_flows)
def test_types_are_words_dipy_understands(name):
    """DIPY looks for substrings: "point" means int, and an unknown word crashes."""
    known = {"bool", "float", "int", "str", "string", "tuple"}
    for parameter, kind in documented(load(name)).items():
        words = set(re.findall(r"[^\s,]+", kind.lower()))
        words -= {"optional", "or", "path", "variable"}
        assert len(words & known) == len(words) == 1, f"{parameter} : {kind}"


@pytest.mark.parametrize("name", cli_flows)
def test_optional_means_a_default_and_a_flag_is_off(name):
    """A bool that defaults to True becomes False on the command line, silently."""
    flow = load(name)
    for parameter, kind in documented(flow).items():
        default = parameters(flow)[parameter].default
        assert ("optional" in kind) == (default is not inspect.Parameter.empty), (
            parameter
        )
        if "bool" in kind or isinstance(default, bool):
            assert "bool" in kind and default is False, parameter


@pytest.mark.parametrize("name", cli_flows)
def test_parser_builds_with_every_option_explained(name):
    parser = IntrospectiveArgumentParser(prog=name)
    parser.add_workflow(load(name)())
    assert all(action.help for action in parser._actions)
    assert set(parameters(load(name))) < {action.dest for action in parser._actions}
    variable = [a for a in parser._actions if not a.option_strings and a.nargs == "+"]
    assert len(variable) <= 1


@pytest.mark.parametrize("name", cli_flows)
def test_help_is_short_and_says_a_default_once(name):
    """DIPY appends it; what None stands for is said as "If None, ..."."""
    text = " ".join(inspect.getdoc(load(name).run).split())
    assert not re.search("[Bb]y default|left open|is told", text)
    for row in NumpyDocString(inspect.getdoc(load(name).run))["Parameters"]:
        help_text = " ".join(row[2])
        if "If None" in help_text:
            assert parameters(load(name))[row[0]].default is None, row[0]
        sentences = re.split(r"[.?] (?=[A-Z0-9])", help_text.replace(" et al. ", " "))
        assert len(sentences) <= 2, row[0]


def test_commands_on_scans_say_the_same_of_masks():
    """Their words differ only where one refuses brain none."""
    first, *others = (
        {row[0]: " ".join(row[2]) for row in rows}
        for rows in (
            NumpyDocString(inspect.getdoc(load(name).run))["Parameters"]
            for name in ("dipy_preprocess_t1", "dipy_edit_mri", "dipy_reconstruct_mri")
        )
    )
    for words in others:
        assert words["mask_path"] == first["mask_path"]
        start = first["brain"].partition(" deepbet (pip")[0]
        assert words["brain"].startswith(start)


@pytest.mark.parametrize("name", cli_flows)
def test_help_loads_no_framework(name, command):
    done = command(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: {name}" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.parametrize("name", cli_flows)
def test_absent_input_is_one_line_and_status_1(name, tmp_path, command):
    """What every flow does with an input that is not there, to the end."""
    kinds = {p: k for p, k in documented(load(name)).items() if "optional" not in k}
    values = [f"absent-{p}" if "str" in kind else 1 for p, kind in kinds.items()]
    done = command(name, *(values or ("--model", "absent-model")))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{name}: " in done.stderr and "absent-" in done.stderr
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_preparing_and_evaluating_load_no_framework(tmp_path, bids_folder, command):
    words = ["--no_bias", "--align", "none", "--voxel_size", 8]
    done = command("dipy_preprocess_t1", bids_folder, *words)
    assert done.returncode == 0, done.stderr
    cohorts = [tmp_path / name for name in ("real", "synthetic")]
    for start, folder in enumerate(cohorts):
        for seed in range(8):
            phantom = make_phantom(10 * start + seed, shape=(20, 24, 20), voxel_size=8)
            path = folder / f"sub-{seed}_T1w.nii.gz"
            write_volume(path, phantom.data, phantom.affine)
    evaluated = command("dipy_evaluate_mri", *cohorts, "--no_tissues")
    assert evaluated.returncode == 0, evaluated.stderr
    for each in (done, evaluated):
        loaded = each.stdout.splitlines()[-1].split()
        assert loaded[0] == "LOADED"
        assert not {"keras", "tensorflow", "torch", "jax"} & {*loaded}
        assert "\r" not in each.stderr  # a bar in a pipe is lines


@pytest.mark.parametrize(
    "end, line",
    [
        ("input", "scan.nii.gz: 4D, expected 3D"),
        ("exists", "out.nii.gz exists"),
        ("diverged", "run: the loss is nan"),
        ("memory", "run: out of memory"),
        ("silent", "MemoryError"),
        ("missing", "absent.nii.gz: No such file or directory"),
        (
            "full",
            "out.nii.gz: No space left on device; free disk space, and the same "
            "command resumes",
        ),
        (
            "full, no name",
            "No space left on device; free disk space, and the same command resumes",
        ),
        (
            "read only",
            "out/a.json: Read-only file system; expected an out_dir that can be "
            "written",
        ),
        ("", "an argument is empty; expected a value (is a variable not set?)"),
    ],
)
def test_user_error_is_one_line_on_stderr(end, line, command):
    done = command("dipy_fake", end)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ERROR: dipy_fake: {line}"
    assert "Traceback" not in done.stderr + done.stdout


def test_user_error_has_a_traceback_when_requested(command):
    done = command("dipy_fake", "input", "--log_level", "debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "scan.nii.gz" in done.stderr


def test_ctrl_c_says_that_the_same_command_resumes(command):
    done = command("dipy_fake", "ctrl_c")
    assert done.returncode == 130
    assert "same command resumes" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "end, words", [("bug", "ZeroDivisionError: ours"), ("device", "Input/output error")]
)
def test_what_no_user_can_mend_keeps_its_traceback(end, words, command):
    done = command("dipy_fake", end)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and words in done.stderr


@pytest.mark.parametrize("name", ["dipy_fake", "/usr/bin/dipy_fake", "dipy_fake.exe"])
def test_success_is_status_0_whatever_the_flow_returns(name, command):
    done = command(name, "well")
    assert done.returncode == 0, done.stderr


def test_a_result_that_does_not_pass_is_status_1_without_a_word(command):
    done = command("dipy_fake", "failed")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["WARNING: our warning"]


def test_a_warning_is_one_line_without_its_place_in_the_code(command):
    done = command("dipy_fake", "warned")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "WARNING: dipy_fake: age=120 is outside"


def test_unknown_command_lists_what_there_is(command):
    done = command("dipy_sinth_mri")
    assert done.returncode == 1
    assert "dipy_sinth_mri: no such command" in done.stderr
    assert all(name in done.stderr for name in cli_flows)


def test_wrong_option_is_status_2(command):
    done = command("dipy_fake", "well", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


def test_version_is_ours(command):
    done = command("dipy_fake", "--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"dipy_synth {__version__} (DIPY ")


@pytest.mark.parametrize(
    "level, out, err",
    [
        ("DEBUG", ["DEBUG: dipy debug", "INFO: dipy info"], ["WARNING: our warning"]),
        ("INFO", ["INFO: dipy info"], ["WARNING: our warning"]),
        ("warning", [], ["WARNING: our warning"]),
        ("CRITICAL", [], []),
    ],
)
def test_log_level_is_obeyed_and_warnings_go_to_stderr(level, out, err, command):
    done = command("dipy_fake", "exists", "--log_level", level)
    logged = re.compile("(DEBUG|INFO|WARNING): .*")
    assert [line for line in done.stdout.splitlines() if logged.match(line)] == out
    assert [line for line in done.stderr.splitlines() if logged.match(line)] == err
    assert "ERROR: dipy_fake: out.nii.gz exists" in done.stderr


def test_log_file_gets_everything(tmp_path, command):
    command("dipy_fake", "exists", "--log_file", "run.log")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert lines == [
        "INFO: dipy info",
        "WARNING: our warning",
        "ERROR: dipy_fake: out.nii.gz exists",
    ]


def test_log_file_in_no_folder_is_one_line(command):
    done = command("dipy_fake", "well", "--log_file", "absent/run.log")
    assert done.returncode == 1
    assert "absent/run.log: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
