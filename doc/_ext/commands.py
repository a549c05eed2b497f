"""A page for each command, written from the docstring and signature of its flow.

As a Sphinx extension it writes ``commands/`` beside the other pages before Sphinx reads
them. `command_page` needs DIPY alone.
"""

import importlib
import inspect
from pathlib import Path
import re
import textwrap

from dipy.workflows.docstring_parser import NumpyDocString

from dipy_synth.utils.files import write_text
from dipy_synth.workflows.cli import cli_flows

FOLDER = "commands"
COMMON = {
    "--force": "Replace what is there instead of resuming it.",
    "--log_level LEVEL": "CRITICAL, ERROR, WARNING, INFO (the default) or DEBUG, which "
    "adds the traceback of an error.",
    "--log_file FILE": "Write the log to a file, too.",
    "--version": "Print the version and exit.",
    "-h, --help": "Print the options and exit.",
}
INDEX = """
Commands
========

Each command prints its options with ``--help``. Exit status: 0 when done, 1 on bad
input or when part of the work failed, 2 on a wrong option, 130 after Ctrl-C (see
:doc:`/guides/pipelines`).

.. list-table::
   :widths: 30 70

{rows}

.. toctree::
   :hidden:

{pages}

Options of every command
------------------------

{common}
"""
ROW = """   * - :doc:`{name}`
     - {summary}
"""


def command_page(name, flow):
    """Write the page of a command.

    Parameters
    ----------
    name : str
        The command.
    flow : type
        Its flow, a subclass of `dipy.workflows.workflow.Workflow`.

    Returns
    -------
    str
        reStructuredText.
    """
    doc = NumpyDocString(inspect.getdoc(flow.run))
    described = {key: (kind, " ".join(text)) for key, kind, text in _entries(doc)}
    arguments, options = [], []
    for parameter in _parameters(flow):
        kind, text = described[parameter.name]
        text = _default(_escape(text), parameter.default)
        if parameter.default is inspect.Parameter.empty:
            arguments.append((parameter.name, text))
        else:
            word = "" if kind.startswith("bool") else f" {_word(kind)}"
            options.append((f"--{parameter.name}{word}", text))
    usage = " ".join([name, *(a for a, _ in arguments), "[options]"])
    parts = [
        f"{name}\n{'=' * len(name)}",
        _escape(" ".join(doc["Summary"])),
        f"::\n\n    {usage}",
        _escape(" ".join(line.strip() for line in doc["Extended Summary"])),
        "Arguments\n---------" if arguments else "",
        _definitions(arguments),
        "Options\n-------",
        _definitions(options),
        "and those of :doc:`every command <index>`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _entries(doc):
    """Split DIPY's parameter list, which ends at the first blank line: iterator."""
    for key, kind, text in doc["Parameters"]:
        lines, current = [], (key, kind)
        for line in text:
            head = re.match(r"(\w+) : (.+)", line)
            if head:
                yield *current, lines
                lines, current = [], (head[1], head[2])
            elif line.strip():
                lines.append(line.strip())
        yield *current, lines


def _parameters(flow):
    signature = inspect.signature(flow.run)
    return [p for p in signature.parameters.values() if p.name != "self"]


def _word(kind):
    """Name the value of an option by the type in the docstring: str."""
    several = "..." if kind.startswith("variable") else ""
    for key, word in (("int", "N"), ("float", "X"), ("Path", "PATH")):
        if re.search(rf"\b{key}\b", kind):
            return word + several
    return "TEXT" + several


def _default(text, default):
    stated = "default" in text
    if default in (None, False, "", inspect.Parameter.empty) or stated:
        return text
    return f"{text} Default: ``{default}``."


def _definitions(pairs):
    return "\n\n".join(
        f"``{term}``\n{textwrap.indent(textwrap.fill(text, 84), '    ')}"
        for term, text in pairs
    )


def _escape(text):
    """Keep stars, bars and final underscores from being read as markup.

    Options become literals, or typography would make one dash of two.
    """
    text = re.sub(r"([*|`])", r"\\\1", text)
    text = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", text)
    return re.sub(r"(?<!\w)--\w+", r"``\g<0>``", text)


def write_pages(folder):
    """Write a page for each command, and their index.

    Parameters
    ----------
    folder : str or Path
        Where to.

    Returns
    -------
    list of Path
    """
    folder, paths, rows = Path(folder), [], []
    for name, (module, flow) in cli_flows.items():
        flow = getattr(importlib.import_module(module), flow)
        summary = inspect.getdoc(flow.run).splitlines()[0]
        paths.append(_write(folder / f"{name}.rst", command_page(name, flow)))
        rows.append(ROW.format(name=name, summary=_escape(summary)))
    index = INDEX.lstrip().format(
        rows="".join(rows),
        pages="\n".join(f"   {name}" for name in cli_flows),
        common=_definitions(COMMON.items()),
    )
    return [*paths, _write(folder / "index.rst", index)]


def _write(path, text):
    """Write a page unless it is there, so that Sphinx reads what changed alone."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


def setup(app):
    """Have Sphinx call what is defined here."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER))
    return {"parallel_read_safe": True}
