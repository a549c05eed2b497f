"""Output folders: the record of their request, and the files that BIDS requires.

Every command writes into a folder of its own, and resumes there when it is run again.
`OutputFolder` reads the record of the request, refuses another request, and, for a BIDS
derivative :footcite:p:`gorgolewski2016bids`, writes the files that describe the
dataset.

References
----------
.. footbibliography::
"""

from dataclasses import dataclass
import json
import os
from pathlib import Path

from dipy_synth import __version__
from dipy_synth.errors import InputError, remedy
from dipy_synth.utils.files import read_object, write_json, write_text

BIDS_VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
GROUP = "DipySynth"  # key of dipy_synth in dataset_description.json
TEXTS = ("README.md", "CITATION.cff")  # of users, once they are there
MOST_SHOWN = 5  # differences in an error message

# Columns of participants.tsv that are described unless the source describes them.
COLUMNS = {
    "age": {"Description": "Age of the participant", "Units": "year"},
    "sex": {
        "Description": "Sex of the participant",
        "Levels": {"F": "female", "M": "male"},
    },
    "split": {
        "Description": "Side of the split by participant",
        "Levels": {
            "train": "for training",
            "validation": "held out, for validation and evaluation",
        },
    },
}


@dataclass(frozen=True)
class OutputFolder:
    """An output folder, which a command writes, resumes or, with force, replaces.

    Parameters
    ----------
    root : Path
        The folder, which may be absent.
    kind : str
        Kind of its content: "prepared cohort".
    record : str, optional
        File with the request of the folder.
    group : str or None, optional
        Key of the request in that file; None where it is the whole file.
    besides : tuple of str, optional
        Names of files that a folder without a record may have, besides hidden ones and
        `TEXTS`.
    """

    root: Path
    kind: str
    record: str = DESCRIPTION
    group: str | None = GROUP
    besides: tuple = ()

    def read(self):
        """Read the request of the folder: dict, or None if there is no record.

        A folder that holds something else is an InputError.
        """
        path = self.root / self.record
        if not path.is_file():
            self._check_vacant()
            return None
        expected = f"expected a new folder for out_dir, or that of {_a(self.kind)}"
        with remedy(expected):
            content = read_object(path)
        found = content if self.group is None else content.get(self.group)
        if not isinstance(found, dict):
            raise InputError(f"{path}: of another dataset; {expected}")
        if self.group == GROUP and found.get("Kind") != self.kind:
            held = found.get("Kind") or "dataset of an earlier version of dipy_synth"
            raise InputError(f"{path}: of another dataset, {_a(held)}; {expected}")
        return {name: value for name, value in found.items() if name != "Kind"}

    def _check_vacant(self):
        found = self.root.exists() and not self.root.is_dir()
        allowed = (*self.besides, *TEXTS)  # the record is written after these
        found = found or any(
            path.name not in allowed and not path.name.startswith(".")
            for path in self.root.glob("*")
        )
        if found:
            raise InputError(
                f"{self.root}: not empty, and no {self.kind} ({self.record} is "
                "missing); expected a new folder for out_dir"
            )

    def check(self, request, *, before=None, force=False):
        """Refuse to mix two requests, in JSON types, in one folder.

        The folder's own request is `before`, by default read from the folder. Return
        the differences of the two, empty for a new folder. They are an InputError,
        unless `force` lets results of another request be replaced.
        """
        before = self.read() if before is None else before
        different = [] if before is None else differences(before, request)
        if different and not force:
            shown = "; ".join(different[:MOST_SHOWN])
            raise InputError(
                f"{self.root}: holds {_a(self.kind)} made by another request "
                f"({shown}); expected the same request, which resumes it, another "
                "out_dir, or --force to replace it"
            )
        return different

    def describe(self, request, *, name, readme, ignored=(), authors=(), **fields):
        """Write the files of BIDS: description, README, CITATION.cff, .bidsignore.

        Existing README and CITATION.cff are kept, since users may have edited them.
        dataset_description.json, the record, is written last.

        Parameters
        ----------
        request : dict
            The request of the folder, in JSON types.
        name : str
            Name of the dataset.
        readme : str
            Text of the README.
        ignored : sequence of str, optional
            Patterns of files that are not part of BIDS.
        authors : sequence of str, optional
            Authors of the dataset; the developers of dipy_synth by default.
        **fields
            Further fields of dataset_description.json, such as ``SourceDatasets``.
            Empty ones are left out.
        """
        texts = f"# {name}\n\n{readme.strip()}\n", _citation(name, authors)
        for file, text in zip(TEXTS, texts):
            if not (self.root / file).exists():
                write_text(self.root / file, text)
        if ignored:
            write_text(self.root / ".bidsignore", "".join(f"{n}\n" for n in ignored))
        content = {
            "Name": name,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "dipy_synth", "Version": __version__}],
            **{key: value for key, value in fields.items() if value},
            GROUP: {"Kind": self.kind, **request},
        }
        write_json(self.root / DESCRIPTION, content)


def _a(noun):
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def differences(before, now, name=""):
    """List the differences of two requests in JSON types, ``name was A, is B``.

    Of two tables (lists of dict) the longer one may have further rows.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [
            (before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
            for key in {**before, **now}
        ]
    elif _is_table(before) and _is_table(now):
        pairs = [
            (*rows, f"{name} row {number}")
            for number, rows in enumerate(zip(before, now), start=1)
        ]
    elif before == now:
        return []
    else:
        return [f"{name} was {_short(before)}, is {_short(now)}"]
    return [words for pair in pairs for words in differences(*pair)]


def _is_table(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _short(value):
    """Shorten a table to its number of rows."""
    return f"{len(value)} rows" if _is_table(value) else value


def _citation(name, authors=()):
    """Compose the CITATION.cff of a dataset (Citation File Format 1.2): str."""
    people = "".join(
        f"  - name: {json.dumps(author)}\n"
        for author in authors or ("dipy_synth developers",)
    )
    return (
        "cff-version: 1.2.0\n"
        "message: If you use this dataset, please cite it and the software that made "
        "it.\n"
        "type: dataset\n"
        f"title: {json.dumps(name)}\n"
        f"authors:\n{people}"
        "references:\n"
        "  - type: software\n"
        "    title: dipy_synth\n"
        f"    version: {json.dumps(__version__)}\n"
        "    authors:\n"
        "      - name: dipy_synth developers\n"
    )


def describe_columns(names, described=None):
    """Describe the columns of a participants.tsv, as participants.json does: dict.

    Known descriptions, by column, override the usual ones.
    """
    known = {**COLUMNS, **(described or {})}
    return {
        name: known.get(name) or {"Description": f"Column {name} of the source's table"}
        for name in names
        if name != "participant_id"
    }


@dataclass(frozen=True)
class SourceLink:
    """A source dataset of a derivative, for BIDS URIs, where it is called `name`.

    `links` are the ``DatasetLinks`` of the derivative: name to path, relative to it.
    """

    name: str
    folder: Path
    links: dict

    @classmethod
    def to(cls, folder, *, root, name="raw"):
        """Link a folder to the derivative `root`, and keep its earlier links.

        `name` is that of the first link; those to other folders get a number.
        """
        path = root / DESCRIPTION
        links = read_object(path).get("DatasetLinks", {}) if path.is_file() else {}
        relative = relative_path(folder, root)
        same = [known for known, there in links.items() if there == relative]
        new = f"{name}{len(links) + 1}" if links else name
        name = [*same, new][0]
        return cls(name, folder, {**links, name: relative})

    @property
    def address(self):
        """Path of the source, relative to the derivative: str."""
        return self.links[self.name]

    def uri(self, path):
        """Return the BIDS URI of a file: ``bids:raw:sub-01/anat/sub-01_T1w.nii.gz``."""
        return f"bids:{self.name}:{relative_path(path, self.folder)}"


def resolve_uri(uri, *, root, links):
    """Return the path that a BIDS URI of the derivative `root` names.

    `links` are those of a `SourceLink`; None if `uri` is not a BIDS URI with a name.
    """
    if uri.count(":") < 2:
        return None
    _, name, place = uri.split(":", 2)
    return Path(os.path.normpath(Path(root, links.get(name, ""), place).absolute()))


def relative_path(path, root):
    """Return a path relative to a folder, with slashes: str."""
    there = os.path.relpath(Path(path).absolute(), Path(root).absolute())
    return Path(there).as_posix()
