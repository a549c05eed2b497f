"""The tables of a prepared cohort: participants.tsv, and one of sessions a subject."""

import logging
from pathlib import Path

from dipy_synth.data.columns import few, normalized_dictionary
from dipy_synth.data.participants import subject_label
from dipy_synth.data.prepared import prepared_keys, subject_of
from dipy_synth.data.records import bids_root, entities
from dipy_synth.data.split import split_subjects
from dipy_synth.errors import InputError
from dipy_synth.utils.derivative import describe_columns
from dipy_synth.utils.files import read_optional_object, write_json
from dipy_synth.utils.tables import read_table, write_table

logger = logging.getLogger("dipy")

# Names of the sides in studies; test subjects of a study must not be trained on.
SIDES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "holdout", "held-out"), "validation"),
}


def read_participants(root):
    """Read participants.tsv of a prepared cohort: subject label to row, with `split`.

    It is empty where there is no table. A subject without a name or with two rows, or a
    missing column, is an InputError.
    """
    path, table = Path(root) / "participants.tsv", {}
    if not path.is_file():
        return {}
    for row in read_table(path, needed=["participant_id"]):
        label = subject_label(row.pop("participant_id") or "")
        if not label or label in table:
            raise InputError(
                f"{path}: {f'two rows of sub-{label}' if label else 'a nameless row'}; "
                "expected one row a subject"
            )
        table[label] = row
    return table


def read_rows(root, keys):
    """Read the table row of each volume: its subject's, updated by its session's.

    `keys` are those of `prepared_keys`. A row is empty where a subject has none.
    """
    table, rows = read_participants(root), []
    for key in keys:
        subject, session = key.split("_")[0], entities(key).get("ses")
        row = dict(table.get(subject.removeprefix("sub-"), {}))
        path = Path(root) / subject / f"{subject}_sessions.tsv"
        for own in read_table(path) if session and path.is_file() else ():
            if own.pop("session_id", None) == f"ses-{session}":
                row |= own
        rows.append(row)
    return rows


def write_participants(root, records, *, keep=True, **options):
    """Write participants.tsv, and sub-X_sessions.tsv for what differs by session.

    Subjects that are in the table keep their side; others get that of the study's
    column ``split``, if there is one, or of `dipy_synth.data.split.split_subjects`.
    Values of earlier runs that `records` do not have are kept, unless `keep` is false.
    """
    before = read_participants(root)
    fixed = {subject: row.pop("split", None) for subject, row in before.items()}
    if None in fixed.values():
        raise InputError(f"{root / 'participants.tsv'}: a row without split")
    known = _known_rows(root, records, keep)
    rows = {**before, **_common(known)}
    if not rows:
        return
    if fixed:
        names = ", ".join(options)
        logger.info(f"{len(fixed)} subjects keep their side; {names} are for others")
    fixed = {**_study_split(records, fixed), **fixed}
    split = split_subjects(rows, fixed=fixed, **options)
    table = [
        {"participant_id": f"sub-{s}", **rows[s], "split": split[s]}
        for s in sorted(rows)
    ]
    write_table(root / "participants.tsv", table)
    _describe_participants(root, records, names={name for row in table for name in row})
    for subject, scans in known.items():
        _write_sessions(root, subject, scans, rows[subject])


def _describe_participants(root, records, *, names):
    """Write participants.json, with the columns of the source and of earlier runs."""
    described = {}
    paths = [bids_root(record.image) / "participants.json" for record in records]
    for path in dict.fromkeys([root / "participants.json", *paths]):
        described |= normalized_dictionary(read_optional_object(path))
    columns = describe_columns(sorted(names), described)
    write_json(root / "participants.json", columns)


def _study_split(records, fixed):
    """Return the side of each subject by the study's own table: dict.

    Empty where its column ``split`` has other values, or one side would be empty.
    """
    words_of = {record.subject: set() for record in records}
    for record in records:
        word = record.covariates.get("split")
        words_of[record.subject] |= set() if word is None else {word}
    words = sorted(set().union(*words_of.values()))
    if not words:
        return {}
    sides = {s: {SIDES.get(w.casefold()) for w in t} for s, t in words_of.items() if t}
    both = [s for s, side in sides.items() if len(side) > 1]
    found = {s: "validation" if s in both else [*t][0] for s, t in sides.items()}
    unknown = None in set().union(*sides.values())
    if unknown or len({*found.values(), *fixed.values()}) < 2:
        logger.warning(
            f"the study's column split ({few(words)}) is not used: it does not divide "
            "subjects into train and validation; kept as study_split"
        )
        return {}
    if both:
        logger.warning(
            f"{_named(both)}: on both sides of the study's split; held out (validation)"
        )
    _log_split(words, words_of, found, fixed)
    return found


def _log_split(words, subjects, found, fixed):
    """Log how far the study's own split is kept."""
    changed = [s for s, side in found.items() if fixed.get(s, side) != side]
    if changed:
        logger.warning(
            f"{_named(changed)}: the study's split says another side now; the earlier "
            "one is kept (another out_dir gives the new one)"
        )
    n = sum(fixed.get(s, side) == "train" for s, side in found.items())
    rest = len(set(subjects) - {*found, *fixed})
    logger.info(
        f"the study's own split is kept ({few(words)}): {n} subjects train, "
        f"{len(found) - n} validate"
        + f"; {rest} without one divided by validation_fraction"
        * bool(rest)
    )


def _named(subjects):
    return few(f"sub-{subject}" for subject in sorted(subjects))


def _known_rows(root, records, keep):
    """Return the rows of all scans of the records' subjects, by subject and key.

    Scans that were prepared before keep their rows and, with `keep`, the values of
    columns that the study's tables no longer have.
    """
    known = {record.subject: {} for record in records}
    earlier = [key for key in prepared_keys(root) if subject_of(key) in known]
    earlier += [] if keep else [r.key for r in records if r.key not in earlier]
    rows = dict(zip(earlier, read_rows(root, earlier)))
    for row in rows.values():
        row.pop("split", None)
    own = {"split": "study_split"}  # the study's column split keeps another name
    gone, subjects = set(), set()
    for record in records:
        new = {own.get(k, k): v for k, v in record.covariates.items()}
        old = rows.get(record.key, {})
        without = {k for k, v in old.items() if v is not None and k not in new}
        gone |= without
        subjects |= {record.subject} if without else set()
        rows[record.key] = {**old, **new} if keep else new
    if gone:
        _log_gone(f"{few(sorted(gone))} of {_named(subjects)}", root, keep)
    for key, row in rows.items():
        row = {k: v and str(v) for k, v in row.items()}
        known[subject_of(key)][key] = row
    return known


def _log_gone(what, root, keep):
    """Log what happens to values that the study's tables do not have."""
    if keep:
        why = "since the study's tables do not have them"
        logger.info(f"{what} kept from {root}, {why}")
    else:
        why = (
            "since scan, mask or labels are other files now, perhaps of another person"
        )
        logger.warning(f"{what} not kept from {root}, {why}")


def _common(known):
    """Return the row of each subject: the columns on which its scans agree.

    A scan without a session has no other row, so that all its columns are there.
    """
    rows = {}
    for subject, scans in known.items():
        alone = [row for key, row in scans.items() if not entities(key).get("ses")]
        first, *others = scans.values()
        rows[subject] = {
            k: v for k, v in first.items() if all(row.get(k) == v for row in others)
        } | (alone[0] if alone else {})
    return rows


def _write_sessions(root, subject, scans, common):
    """Write the columns that differ between a subject's sessions, one row each."""
    table = {}
    for key, row in scans.items():
        own = {k: v for k, v in row.items() if common.get(k) != v}
        session = entities(key).get("ses")
        if session is not None and own:
            table.setdefault(f"ses-{session}", {}).update(own)
    path = root / f"sub-{subject}" / f"sub-{subject}_sessions.tsv"
    if table:
        rows = [{"session_id": label, **row} for label, row in table.items()]
        write_table(path, rows)
    else:
        path.unlink(missing_ok=True)
