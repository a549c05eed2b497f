"""Pages from templates, by jinja2: whatever is inserted is escaped.

A page is one file: style, script and pictures are inside, and nothing is requested.
"""

from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
import platform
import shlex
import sys

from jinja2 import Environment, PackageLoader, StrictUndefined
import numpy as np

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.utils.files import write_text

# Their versions are read from their records: none is imported.
_LIBRARIES = ("dipy", "keras", "nibabel", "nilearn", "numpy", "scipy", "SimpleITK")


def page_path(path):
    """Return the path of a page; refuse one that does not end in .html."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise InputError(f"{path}: expected the name of a page, ending in .html")
    return path


def write_page(template, path, /, **content):
    """Write a page by a template of this package, with its variables: Path."""
    page = _environment().get_template(template)
    write_text(path, page.render(about=describe_run(), **content))
    return Path(path)


def describe_run():
    """Describe the run that writes a page: dict of its command, versions and time."""
    name = Path(sys.argv[0]).name
    typed = shlex.join([name, *sys.argv[1:]]) if name.startswith("dipy_") else ""
    return {
        "Command": typed or "none: written from Python",
        "Software": ", ".join(_versions()),
        "Time": datetime.now().astimezone().isoformat(" ", "minutes"),
    }


def _versions():
    yield f"dipy_synth {__version__}"
    for name in _LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    yield f"Python {platform.python_version()} on {platform.system()}"


@cache
def _environment():
    environment = Environment(
        loader=PackageLoader("dipy_synth.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, interval=interval, sentence=sentence, counted=counted
    )
    return environment


def number(value):
    """Format a number in three digits; "n/a" where it is not finite."""
    if not np.isfinite(value):
        return "n/a"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def interval(pair):
    """Format an interval; empty where it is not finite."""
    return " to ".join(map(number, pair)) if np.isfinite(pair).all() else ""


def sentence(words):
    """Begin with a capital letter, and keep the others."""
    return words[:1].upper() + words[1:]


def counted(n, noun):
    """Format a number of things: "1 volume", "2 volumes"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def by(values, form="{:g}"):
    """Format the sides of a grid: "80 × 96 × 80"."""
    return " × ".join(form.format(value) for value in values)
