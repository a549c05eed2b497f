"""What a check says: a verdict, the values behind it, and what to do."""

from dataclasses import dataclass, field
import math

RIGHT, DOUBTFUL, WRONG = "right", "doubtful", "wrong"
NOT_LOOKED_AT = "not looked at"
VERDICTS = (WRONG, DOUBTFUL, RIGHT, NOT_LOOKED_AT)


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    name : str
        What was looked at.
    verdict : str
        ``right``, ``doubtful``, ``wrong`` or ``not looked at``.
    words : str
        What was found, in a sentence.
    expected : str, optional
        What a sound model shows.
    advice : str, optional
        What to do; empty where all is right.
    values : dict of str to float or list, optional
        The numbers behind the verdict.
    """

    name: str
    verdict: str
    words: str
    expected: str = ""
    advice: str = ""
    values: dict = field(default_factory=dict)

    def to_json(self):
        """Give a dict for JSON; numbers that are not finite become None."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "words": self.words,
            "expected": self.expected,
            "advice": self.advice,
            "values": {name: _plain(value) for name, value in self.values.items()},
        }


def judged(*, right, doubtful):
    """Give the verdict of two conditions, the second weaker than the first.

    Comparisons with NaN are false, so that NaN is wrong.
    """
    return RIGHT if right else DOUBTFUL if doubtful else WRONG


def found(name, verdict, words, *, expected, advice, values=None):
    """Make a finding; advice is kept where something is to be done."""
    advice = "" if verdict == RIGHT else advice
    return Finding(name, verdict, words, expected, advice, values or {})


def not_looked_at(name, why, how):
    """Make the finding of a check that could not be made.

    Parameters
    ----------
    name : str
        What was to be looked at.
    why : str
        Why it was not.
    how : str
        How to have it looked at.
    """
    return Finding(name, NOT_LOOKED_AT, why, advice=how)


def count_verdicts(findings):
    """Count the verdicts: dict of verdict to int, those that came up."""
    verdicts = [finding.verdict for finding in findings]
    return {v: verdicts.count(v) for v in VERDICTS if v in verdicts}


def text_table(findings):
    """Write findings as lines of text, the advice below what needs it.

    Parameters
    ----------
    findings : list of Finding

    Returns
    -------
    list of str
    """
    wide = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:13}  {finding.name:{wide}}  {finding.words}")
        if finding.advice:
            lines.append(f"{'':13}  {'':{wide}}  -> {finding.advice}")
    return lines


def _plain(value):
    """Turn a number, or a list of them, to what JSON can hold."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
