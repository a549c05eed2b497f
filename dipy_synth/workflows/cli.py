"""The commands: names, flows, logging and errors.

A command looks up its name in `cli_flows` and imports that module. Flow modules import
Keras, TensorFlow and modules that need them inside functions: ``--help`` and a mistyped
option do not load a framework.
"""

import argparse
import errno
from functools import partial
import importlib
import logging
import os
from pathlib import Path
import sys
import warnings

from dipy import __version__ as dipy_version
from dipy.utils.logging import logger
from dipy.workflows.flow_runner import run_flow

from dipy_synth import __version__
from dipy_synth.errors import InputError, QualityError

cli_flows = {
    "dipy_edit_mri": ("dipy_synth.workflows.edit", "EditMRIFlow"),
    "dipy_evaluate_mri": ("dipy_synth.workflows.evaluate", "EvaluateMRIFlow"),
    "dipy_fetch_t1": ("dipy_synth.workflows.fetch", "FetchT1Flow"),
    "dipy_preprocess_t1": ("dipy_synth.workflows.preprocess", "PreprocessT1Flow"),
    "dipy_reconstruct_mri": (
        "dipy_synth.workflows.reconstruct",
        "ReconstructMRIFlow",
    ),
    "dipy_synth_doctor": ("dipy_synth.workflows.doctor", "SynthDoctorFlow"),
    "dipy_synth_mri": ("dipy_synth.workflows.synth", "SynthMRIFlow"),
    "dipy_train_predictor": (
        "dipy_synth.workflows.train_predictor",
        "TrainPredictorFlow",
    ),
    "dipy_train_ldm": ("dipy_synth.workflows.train_ldm", "TrainLDMFlow"),
    "dipy_train_vqvae": ("dipy_synth.workflows.train_vqvae", "TrainVQVAEFlow"),
}

# Errors that a user can fix, shown in one line. Others keep their traceback.
_USER_ERRORS = (
    InputError,
    FileExistsError,
    FileNotFoundError,
    FloatingPointError,  # a training run that diverged
    IsADirectoryError,
    MemoryError,  # of a training run, with advice
    NotADirectoryError,
    PermissionError,
    QualityError,
)
_ROOM = "free disk space, and the same command resumes"
_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "expected an out_dir that can be written",
    errno.ENAMETOOLONG: "expected a shorter name",
}
_BACKENDS = ("tensorflow", "torch", "jax")


def run():
    """Run the command of this process's name.

    Returns
    -------
    int
        Exit status: 0 when done; 1 on bad input or an unknown command, after one line
        on stderr, and where the flow returns False (scans failed, or a model did not
        pass); 130 after Ctrl-C. A wrong option ends with argparse's 2. With
        ``--log_level DEBUG`` a traceback comes with the line.
    """
    name = Path(sys.argv[0]).name.removesuffix(".exe").removesuffix("-script.py")
    try:
        _start_logging()
        if name not in cli_flows:
            raise InputError(f"no such command; expected one of {', '.join(cli_flows)}")
        if "" in sys.argv[1:]:  # as a path it would be the current folder
            raise InputError(
                "an argument is empty; expected a value (is a variable not set?)"
            )
        with warnings.catch_warnings():
            warnings.showwarning = partial(_warn, name)
            passed = _run_flow(*cli_flows[name])
    except KeyboardInterrupt:
        return _fail(f"{name}: stopped; the same command resumes", status=130)
    except _USER_ERRORS as error:
        return _fail(f"{name}: {_in_one_line(error)}")
    except OSError as error:
        if error.errno not in _HINTS:
            raise
        return _fail(f"{name}: {_in_one_line(error)}; {_HINTS[error.errno]}")
    except (ImportError, ValueError) as error:
        if (words := _backend_problem(error)) is None:
            raise
        return _fail(f"{name}: {words}")
    return 1 if passed is False else 0


def _run_flow(module_name, flow_name):
    """Import one flow and run it by DIPY, with the version of this package."""
    flow = getattr(importlib.import_module(module_name), flow_name)()
    version = f"dipy_synth {__version__} (DIPY {dipy_version})"
    # DIPY's parser lets a later option of the same name replace an earlier one.
    return run_flow(
        flow, extra_args={"version": {"action": "version", "version": version}}
    )


def _start_logging():
    """Configure the log by --log_level and --log_file.

    DIPY logs every message to stdout, ignores ``--log_level``, and passes
    ``--log_file`` to the root logger, which its messages do not reach. Here warnings
    and errors go to stderr, the rest to stdout as in DIPY, and all to a log file. Of
    matplotlib, warnings: at first use it says that it has listed the fonts.
    """
    options = _logging_options()
    console, errors = logging.StreamHandler(sys.stdout), logging.StreamHandler()
    console.addFilter(lambda record: record.levelno < logging.WARNING)
    errors.setLevel(logging.WARNING)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    # The error of a command is shown at any level.
    logger.setLevel(
        min(logging.getLevelNamesMapping()[options.log_level], logging.ERROR)
    )
    logger.propagate = False
    formatter = logging.Formatter("%(levelname)s: %(message)s")
    for handler in (console, errors):
        handler.setFormatter(formatter)
    logger.handlers[:] = [console, errors]
    if options.log_file:  # last: that it cannot be written is an error to show
        log = logging.FileHandler(options.log_file, encoding="utf-8")
        log.setFormatter(formatter)
        logger.addHandler(log)


def _logging_options():
    """Read the two logging options early; DIPY's parser reads and explains them too."""
    parser = argparse.ArgumentParser(add_help=False)
    levels = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
    parser.add_argument("--log_level", type=str.upper, choices=levels, default="INFO")
    parser.add_argument("--log_file")
    return parser.parse_known_args()[0]


def _backend_problem(error):
    """Describe that Keras' backend cannot be imported; None if it can."""
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    absent = isinstance(error, ImportError) and (error.name or "").split(".")[0]
    if absent == chosen or f"backend : {chosen}" in str(error):
        return (
            f"KERAS_BACKEND is {chosen}, which cannot be imported; expected one of "
            f"{', '.join(_BACKENDS)} that is installed"
        )
    return None


def _in_one_line(error):
    """Format an error in one line, without the errno of the operating system."""
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror}"

    message = str(error) or type(error).__name__  # a MemoryError has no message
    return " ".join(line.strip() for line in message.splitlines())


def _warn(name, message, *_args, **_kwargs):
    """Log a warning in one line, without its source line."""
    logger.warning(f"{name}: {_in_one_line(message)}")


def _fail(message, *, status=1):
    """Log the error of the command, with a traceback at level DEBUG."""
    logger.error(message, exc_info=logger.isEnabledFor(logging.DEBUG))
    return status
