"""Results of checks: a verdict, its values, and advice."""

from dataclasses import asdict, dataclass, field
import math

PASS, WARN, FAIL = "pass", "warn", "fail"
SKIPPED = "skipped"
VERDICTS = (FAIL, WARN, PASS, SKIPPED)


@dataclass(frozen=True)
class CheckResult:
    """Result of one check.

    Parameters
    ----------
    name : str
        Name of the check.
    verdict : str
        ``pass``, ``warn``, ``fail`` or ``skipped``.
    message : str
        The result, in a sentence.
    expected : str, optional
        The expected result.
    advice : str, optional
        Advice; empty after a pass.
    values : dict of str to float or list, optional
        The numbers behind the verdict.
    """

    name: str
    verdict: str
    message: str
    expected: str = ""
    advice: str = ""
    values: dict = field(default_factory=dict)

    def to_json(self):
        """Return a dict for JSON; numbers that are not finite become None."""
        values = {name: _plain(value) for name, value in self.values.items()}
        return {**asdict(self), "values": values}


def grade(*, passes, warns):
    """Return the verdict of two conditions, the second weaker than the first.

    Comparisons with NaN are false, so that NaN fails.
    """
    return PASS if passes else WARN if warns else FAIL


def make_result(name, verdict, message, *, expected, advice, values=None):
    """Make a result; advice is kept unless it passes."""
    advice = "" if verdict == PASS else advice
    return CheckResult(name, verdict, message, expected, advice, values or {})


def skipped(name, why, how):
    """Make the result of a skipped check: its name, the reason, and how to run it."""
    return CheckResult(name, SKIPPED, why, advice=how)


def count_verdicts(results):
    """Count the verdicts: dict of each verdict to int."""
    verdicts = [result.verdict for result in results]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def text_table(results):
    """Format results as lines of text, with advice below: list of str."""
    wide = max(len(result.name) for result in results)
    lines = []
    for result in results:
        lines.append(f"{result.verdict:7}  {result.name:{wide}}  {result.message}")
        if result.advice:
            lines.append(f"{'':7}  {'':{wide}}  -> {result.advice}")
    return lines


def _plain(value):
    """Convert a number, or a list of them, to JSON types."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
