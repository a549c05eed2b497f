"""Columns of a participants table: normalised to one notation, and described."""

from collections import Counter
import re

from dipy_synth.utils.cells import (
    AGE,
    UNITS,
    as_age,
    as_number,
    clean,
    column_number,
    column_word,
    is_age,
    is_bound,
    is_missing,
    is_sex,
)
from dipy_synth.utils.derivative import COLUMNS
from dipy_synth.utils.files import files_by_name, read_optional_object
from dipy_synth.utils.tables import known_name, read_table

# Customary for "missing": -9, and two to four times 7, 8 or 9, such as 99 and -777.
_REPEATED = {float(digit * n) for digit in "789" for n in (2, 3, 4)}
CODES = {-9.0, *_REPEATED, *(-number for number in _REPEATED)}
YOUNG = 5.0  # years; where all others are older, an age of 0 is a code
MOST = 5  # names in a line of log
AGE_UNITS = {**UNITS, "a": 1.0}  # years; a is that of UCUM
KEYS = {"units": "Units", "unit": "Units", "levels": "Levels"}  # as BIDS spells them


def read_columns(path, *, needed=()):
    """Read a table, normalised by the data dictionary beside it; return rows and notes.

    See `dipy_synth.utils.tables.read_table` and `normalize_columns`. The dictionary is
    the JSON file of the table's name, in any case.
    """
    rows = read_table(path, needed=needed)
    beside = files_by_name(path.parent).get(f"{path.stem}.json".lower())
    return normalize_columns(rows, read_optional_object(beside))


def normalize_columns(rows, dictionary=None):
    """Normalise the notation of the columns of a table, of `utils.tables.read_table`.

    Ages become years, sexes F and M, decimal commas points. Impossible ages (codes
    such as 999 and -1) become None. `dictionary` is the table's data dictionary
    (``participants.json``): ``Levels`` of sex, and ``Units`` of age. Return the rows,
    and notes: changes beyond spelling, and values that could not be understood.
    """
    entries, columns, notes = _entries(dictionary or {}), {}, []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        columns[name], more = _normalized(name, values, entries.get(name, {}))
        notes += [f"{name}: {note}" for note in more]
    return [
        {name: columns[name][i] for name in row} for i, row in enumerate(rows)
    ], notes


def _entries(dictionary):
    """Return the entries of a data dictionary by known names of columns: dict."""
    return {
        known_name(name): {KEYS.get(k.casefold(), k): v for k, v in entry.items()}
        for name, entry in dictionary.items()
        if isinstance(entry, dict)
    }


def normalized_dictionary(dictionary):
    """Return a data dictionary that describes columns of `normalize_columns`.

    Ages are in years, and of the levels of sex those stay that are neither F nor M.
    """
    entries = _entries(dictionary)
    for name, entry in entries.items():
        if is_age(name):
            entries[name] = {**entry, "Units": "year"}
        elif is_sex(name) and isinstance(entry.get("Levels"), dict):
            levels = {k: v for k, v in entry["Levels"].items() if not _level(name, v)}
            entries[name] = {**entry, "Levels": COLUMNS["sex"]["Levels"] | levels}
    return entries


def _normalized(name, values, entry):
    """Return the normalised values of a column, and notes on them."""
    if name == "participant_id" or name == "session_id":
        return values, []
    if is_age(name):
        unit = _unit(entry)
        ages, notes = _ages(values, unit or 1.0)
        return ages, [*notes, *_unit_notes(entry, unit)]
    if is_sex(name):
        return _sexes(name, values, entry.get("Levels"))
    known = [value for value in values if value is not None]
    if known and all(as_number(value) is not None for value in known):
        notes = _codes(known) + _levels_of(known, entry.get("Levels"))
        return [v and _plain(v, as_number(v)) for v in values], notes
    return values, _spellings(known)


def _levels_of(known, levels):
    """Note numbers that are codes of categories by the data dictionary."""
    codes = sorted({*known} & {*levels}) if isinstance(levels, dict) else []
    message = (
        f"{few(codes)} are codes by its Levels; kept as numbers (write words instead)"
    )
    return [message] if codes else []


def _unit(entry):
    """Return the unit of ages of the data dictionary, in years; None if unclear."""
    unit = clean(str(entry.get("Units", ""))).casefold()
    if is_missing(unit) or entry["Units"] is None:
        return 1.0
    words = [unit, *re.findall("[a-z]{2,}", unit)]
    found = {AGE_UNITS[word] for word in words if word in AGE_UNITS}
    return found.pop() if len(found) == 1 else None


def _unit_notes(entry, unit):
    """Note a unit of ages that is not clear."""
    if unit is None:
        return [f"Units {entry['Units']!r} not understood, taken as years"]
    words = re.findall("[a-z]+", str(entry.get("Description", "")).casefold())
    found = {AGE_UNITS[word] for word in words if len(word) > 2 and word in AGE_UNITS}
    if "Units" in entry or not found or 1.0 in found:
        return []
    return [f"{entry['Description']!r} without Units, taken as years"]


def _ages(values, unit):
    """Return ages in years, as str, None where they are not possible."""
    numbers = [v if v is None else _years(v, unit) for v in values]
    others = [n for n in numbers if n]
    if others and min(others) >= YOUNG:
        numbers = [None if n == 0 else n for n in numbers]
    ages, words, codes, bounds = [], [], [], []
    for value, number in zip(values, numbers):
        if number is None and value is not None:
            is_code = as_number(value) is not None or AGE.fullmatch(value.casefold())
            is_code = is_code or value.casefold() == "none"
            (codes if is_code else words).append(value)
            ages.append(None if is_code else value)
            continue
        bounds += [value] if is_bound(value) else []
        ages.append(value and _plain(value, number))
    notes = _codes([age for age in ages if as_number(age) is not None])
    if codes:
        notes.append(f"{_counted(codes)} cannot be an age in years, taken as missing")
    if bounds:
        notes.append(f"{_counted(bounds)} taken as the number itself")
    if words:
        among = " among numbers" if others else "; kept as names, not as numbers"
        notes.append(f"{_counted(words)} not understood{among}")
    if unit != 1.0:
        notes.append(f"brought to years (one is {1 / unit:.5g} of the data dictionary)")
    return ages, notes


def _years(value, unit):
    """Return an age in years; a number without a unit is in the given one."""
    number = as_number(value)
    if number is None or unit == 1.0:
        return as_age(value)
    return as_age(round(number * unit, 3))


def _plain(value, number):
    """Return a number as it was written, or in plain notation."""
    text = clean(value)
    same = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) and float(text) == number
    return text if same else f"{number:.10g}"


def _sexes(name, values, levels):
    """Return sexes as F and M, by the data dictionary's levels where it has some."""
    levels = levels if isinstance(levels, dict) else {}
    meant = {
        column_word(name, code): _level(name, level) for code, level in levels.items()
    }
    found = [None if v is None else column_word(name, v) for v in values]
    found = [None if v is None or v.casefold() == "none" else v for v in found]
    found = [meant.get(value) or value for value in found]
    gaps = [v for v in found if as_number(v) in CODES | {-1.0}]
    found = [None if v in gaps else v for v in found]
    notes = [f"{_counted(gaps)} taken as missing"] if gaps else []
    codes = sorted({v for v in found if v is not None and as_number(v) is not None})
    others = sorted({v for v in found if v is not None} - {"F", "M", *codes})
    if others:
        notes.append(f"{few(others)} neither F nor M, kept as they are")
    if not codes:
        return found, notes + _spellings([value for value in found if value])
    return found, [
        *notes,
        f"{', '.join(codes)} are codes of unknown meaning, kept as they are "
        "(participants.json can define them, under Levels)",
    ]


def _level(name, level):
    """Return F or M for the words of a level; None for others."""
    level = level.get("Description", "") if isinstance(level, dict) else level
    words = re.findall(r"[^\W\d_]+", str(level))
    meant = {column_word(name, word) for word in words} & {"F", "M"}
    return meant.pop() if len(meant) == 1 else None


def _codes(known):
    """Note numbers that look like codes for missing: far from all others."""
    numbers = [as_number(value) for value in known]
    others = [number for number in numbers if number not in CODES]
    if not others:
        return []
    low, high = min(others), max(others)
    far = high - low + abs(high)
    codes = [
        f"{n:g}" for n in numbers if n in CODES and not low - far <= n <= high + far
    ]
    return [f"{_counted(codes)} may stand for missing; kept"] if codes else []


def _spellings(known):
    """Note categories that differ in case alone."""
    words = Counter(known)
    folded = {}
    for word in words:
        folded.setdefault(word.casefold(), []).append(word)
    alike = [" and ".join(sorted(group)) for group in folded.values() if len(group) > 1]
    return [f"{few(alike)} differ in case alone; kept apart"] if alike else []


def _counted(values):
    """Return different values with how often each is there: str."""
    counts = Counter(values).most_common()
    return few([word if n == 1 else f"{word} ({n} times)" for word, n in counts])


def few(names):
    """Return names in a line, the first ones of many: str."""
    names = list(names)
    more = f" and {len(names) - MOST} others" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def describe_table(rows):
    """Describe how the columns of a table are understood: str.

    For instance "age: number, 20 to 81 (2 missing); sex: F 61, M 53".
    """
    names = dict.fromkeys(name for row in rows for name in row)
    parts = [f"{n}: {_described(n, [row.get(n) for row in rows])}" for n in names]
    more = f"; and {len(parts) - 12} more columns" if len(parts) > 12 else ""
    return "; ".join(parts[:12]) + more


def _described(name, values):
    known = [value for value in values if not is_missing(value)]
    missing = (
        f" ({len(values) - len(known)} missing)" if len(known) < len(values) else ""
    )
    numbers = [column_number(name, value) for value in known]
    if not known:
        return "all missing"
    words = [value for value, number in zip(known, numbers) if number is None]
    if len(words) < len(known):
        known_numbers = [number for number in numbers if number is not None]
        span = f"number, {min(known_numbers):g} to {max(known_numbers):g}"
        return f"{span}{f', but {few(sorted(set(words)))}' * bool(words)}{missing}"
    words = sorted(Counter(known).items())
    if len(words) > 2 * MOST:
        return f"{len(words)} different names{missing}"
    return ", ".join(f"{word} {n}" for word, n in words) + missing
