"""Participants tables of a cohort: search, matching and merging of their rows."""

from dataclasses import replace
import logging
import os
import re
import unicodedata

from dipy_synth.data.columns import describe_table, few, read_columns
from dipy_synth.data.records import bids_root, stem
from dipy_synth.utils.cells import column_number, is_age, is_sex
from dipy_synth.utils.files import files_by_name

NAMES = ("participants.tsv", "participants.csv")
UNCLEAR = ""  # a value that rows of a table contradict, so that no other table fills it
SESSIONS = ("session_id", "session", "ses", "ses_id")
VISITS = ("visit", "visit_id", "timepoint")
UNREAD = re.compile(
    r"(participants?|subjects?|demographics?|phenotypes?|clinical|covariates)"
    r"([_ -]?(info|data|list))?\.(tsv|csv|txt|xlsx?|ods)$"
)

TEXT = re.compile(r".*\.(tsv|csv|txt)$")

logger = logging.getLogger("dipy")


def add_covariates(records, roots=None):
    """Add the rows of the participants tables to each scan, and log the result.

    Covariates that a record has already take precedence. `roots` are the input folders
    of images below one: tables are searched from the dataset of an image up to there.
    """
    roots, tables, looking = roots or {}, {}, {}
    for record in records:
        looking[record.key] = _around(record.image, roots.get(record.image))
        for folder in looking[record.key]:
            if folder not in tables:
                tables[folder] = Participants.find(folder)
    unknown = {f: None for r in records if not r.covariates for f in looking[r.key]}
    _warn_of_unread([folder for folder in unknown if tables[folder] is None])
    tables = {folder: table for folder, table in tables.items() if table is not None}
    for folder, table in tables.items():
        mine = [r for r in records if folder in looking[r.key]]
        table.match({r.subject: r.name or r.subject for r in mine})
    _warn_of_sessions(records, looking)
    found = [_with_rows(r, looking[r.key], tables) for r in records]
    _log(found, tables)
    return found


def _warn_of_unread(folders):
    """Name the tables that may be of participants, in folders without theirs."""
    unread = []
    for folder in folders:
        unread += [
            path
            for name, path in files_by_name(folder).items()
            if UNREAD.fullmatch(name) or (TEXT.fullmatch(name) and _has_ages(path))
        ]
        beside = files_by_name(folder / "phenotype").values()
        unread += [path for path in beside if path.suffix != ".json"]
    if unread:
        logger.warning(
            f"{few(map(str, unread))}: not read; expected participants.tsv or .csv, "
            "with a column participant_id"
        )


def _has_ages(path):
    """Return whether a text begins with a header that has a column of age or sex."""
    with open(path, encoding="utf-8", errors="ignore") as stream:
        header = stream.readline(1 << 12)
    return any(is_age(cell) or is_sex(cell) for cell in re.split("[\t;,]", header))


def _around(image, given):
    """Return the folders whose tables may name a scan's subject, the nearest first."""
    root = bids_root(image)
    above = [root, *root.parents]
    if given is not None and given in above:
        return above[: above.index(given) + 1]
    return above[:3] if "derivatives" in root.parts else above[:1]


def _with_rows(record, folders, tables):
    """Return a scan with its rows of the tables merged, the nearest table last."""
    covariates, what = {}, f"sub-{record.subject}"
    for folder in reversed(folders):
        row = tables[folder].row(record) if folder in tables else {}
        visit = _session_row(folder, record)
        sexes = {name: value for name, value in visit.items() if not is_age(name)}
        for near, lasting in ((row, row), (visit, sexes)):
            _warn_of_changes(covariates, lasting, f"{folder}: {what}")
            covariates = _filled(near, covariates)
    known = {k: None if v == UNCLEAR else v for k, v in covariates.items()}
    return replace(record, covariates={**known, **record.covariates})


def _filled(near, far):
    """Return a row whose missing values are those of a farther table's row."""
    known = {name: value for name, value in near.items() if value is not None}
    return {**near, **far, **known}


def _warn_of_changes(far, near, what):
    """Warn where a nearer table has another age or sex."""
    for name, value in near.items():
        pair = far.get(name), value
        if {None, UNCLEAR} & {*pair} or not (is_age(name) or is_sex(name)):
            continue
        if len({_comparable(name, each) for each in pair}) > 1:
            logger.warning(
                f"{what} has {name} {pair[0]} in one table and {value} in a nearer "
                f"one; {value} is taken"
            )


def _sessions_path(folder, record):
    name = f"sub-{record.subject}"
    return folder / name / f"{name}_sessions.tsv"


def _warn_of_sessions(records, looking):
    """Name the tables of sessions that are not read."""
    paths = {_sessions_path(f, r): r for r in records for f in looking[r.key]}
    without = [p for p, r in paths.items() if r.session is None and os.path.lexists(p)]
    if without:
        logger.warning(f"{few(map(str, without))}: not read, the scan has no session")
    others = [str(p.with_suffix(".csv")) for p in paths]
    if others := [*filter(os.path.lexists, others)]:
        logger.warning(f"{few(others)}: not read; expected .tsv, separated by tabs")


def _session_row(folder, record):
    """Return the row of a subject's sessions table for one session."""
    path = _sessions_path(folder, record)
    if record.session is None or not os.path.lexists(path):
        return {}
    rows, notes = read_columns(path, needed=["session_id"])
    for note in notes:
        logger.warning(f"{path}: {note}")
    own = [r for r in rows if fold(_session(r["session_id"])) == fold(record.session)]
    if rows and not own:
        logger.warning(f"{path}: no row for ses-{record.session}")
        own = [{name: None for name in rows[0] if is_age(name)}]
    row = _merged(own, f"{path}: {record.session}")
    row.pop("session_id", None)
    return row


class Participants:
    """A participants table, its rows by subject."""

    def __init__(self, path, rows, notes=()):
        self.path, self.notes = path, list(notes)
        self._rows, self._matched = {}, {}
        nameless = 0
        for row in rows:
            label = row.pop("participant_id")
            nameless += label is None
            if label is not None:
                self._rows.setdefault(subject_label(label), []).append(row)
        several = any(len(found) > 1 for found in self._rows.values())
        there = {name.casefold(): name for name in (rows[0] if rows else ())}
        columns = (*SESSIONS, *(VISITS if several else ()))
        self._session = next((there[n] for n in columns if n in there), None)
        if nameless:
            self.notes.append(f"{_rows_of(nameless)} without a participant_id")

    @classmethod
    def find(cls, folder):
        """Read ``participants.tsv`` or ``.csv`` of a folder: Participants, or None."""
        there = files_by_name(folder)
        paths = [there[name] for name in NAMES if name in there]
        if not paths:
            return None
        for other in paths[1:]:
            logger.warning(f"{other}: not read, since {paths[0].name} is there")
        return cls(paths[0], *read_columns(paths[0], needed=["participant_id"]))

    def match(self, subjects):
        """Match the rows of subjects, by equal or else similar labels.

        Labels are similar that differ in case, in zeros before a number, or in blanks,
        dashes and underscores. Where several are similar, only equal ones match.
        `subjects` are labels without ``sub-``, with their possible names in the table.
        """
        names = {subject_label(name): s for s, name in subjects.items()}
        found = {s: label for label, s in names.items() if label in self._rows}
        rest = _by_fold(label for label in self._rows if label not in names)
        alike = {}
        for key, labels in _by_fold(n for n in names if n not in self._rows).items():
            rows = rest.get(key, [])
            if len(labels) == len(rows) == 1:
                alike[names[labels[0]]] = rows[0]
        found |= alike
        self._matched = {s: self._rows[label] for s, label in found.items()}
        if alike:
            pairs = few(f"{label} for sub-{s}" for s, label in sorted(alike.items()))
            self.notes.append(f"participant_id {pairs}, taken as the same")
        unused = sorted(self._rows.keys() - set(found.values()))
        if unused:
            self.notes.append(f"{_rows_of(len(unused))} without a scan: {few(unused)}")

    def row(self, record):
        """Return the row of a scan, after `match`; empty where there is none.

        Of several rows of its subject, those of its session count; in any, a value on
        which rows differ is None, with a warning.
        """
        rows, what = self._matched.get(record.subject, []), f"sub-{record.subject}"
        if self._session is None or not rows:
            return _merged(rows, f"{self.path}: {what}")
        session = record.session and fold(record.session)
        own = [r for r in rows if fold(_session(r.get(self._session))) == session]
        general = [row for row in rows if row.get(self._session) is None]
        others = [] if own or general else rows
        rest = [{k: v for k, v in r.items() if k != self._session} for r in others]
        row = _merged(general or rest, f"{self.path}: {what}")
        if others and record.session is not None:
            logger.warning(f"{self.path}: {what} has no row for ses-{record.session}")
            row = {k: None if is_age(k) else v for k, v in row.items()}
        special = _merged(own, f"{self.path}: {what}, ses-{record.session}")
        row = _filled(special, row)
        row.pop(self._session, None)
        return row


def _rows_of(n):
    return f"{n} row{'s' * (n != 1)}"


def subject_label(text):
    """Return a participant_id without ``sub-``, or ``sub`` before a number: str."""
    return re.sub(r"^sub(j|ject)?([-_ ]|(?=\d))", "", stem(text), flags=re.IGNORECASE)


def _session(text):
    return re.sub(r"^ses[-_ ]", "", text or "", flags=re.IGNORECASE)


def fold(label):
    """Return a label in a canonical form: without case, leading zeros and dashes."""
    label = unicodedata.normalize("NFKC", label)  # accents as macOS writes them
    label = re.sub(r"^(\d+)\.0$", r"\1", label)  # a number that was a float on the way
    label = re.sub(r"[\s_-]|\.(?!\d)", "", label).casefold()
    return re.sub(r"(?<!\d)0+(?=\d)", "", label)


def _by_fold(labels):
    found = {}
    for label in labels:
        found.setdefault(fold(label), []).append(label)
    return found


def _merged(rows, what):
    """Merge rows: equal values are kept, blanks are filled, others are unclear."""
    merged = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        known = [row[name] for row in rows if row.get(name) is not None]
        values = list({_comparable(name, value): value for value in known}.values())
        if len(values) > 1:
            logger.warning(
                f"{what} has {name} {' and '.join(values[:3])}; it is taken as missing"
            )
            values = [UNCLEAR]
        merged[name] = values[0] if values else None
    return merged


def _comparable(name, value):
    """Return a value as a number where it is one, since 20 and 20.0 agree."""
    number = column_number(name, value)
    return value if number is None else number


def _log(records, tables):
    """Log how the tables were understood, in a line each."""
    for table in tables.values():
        for note in table.notes:
            logger.warning(f"{table.path}: {note}")
    without = {r.subject: None for r in records if not r.covariates}
    if without and not tables:
        logger.info("no participants.tsv: nothing is known of the subjects")
        return
    parts = [describe_table([r.covariates for r in records])]
    if without:
        parts.append(f"no row for {few(f'sub-{s}' for s in without)}")
    logger.info("; ".join(filter(None, parts)))
