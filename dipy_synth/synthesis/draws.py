"""Draws of volumes that a QC filter looks at: how many, how many kept, and the time."""

import time

from dipy.utils.logging import logger

from dipy_synth.metrics.verdicts import count_reasons


class Draws:
    """Count the draws of a run, show them, and estimate the time once.

    There are `wanted` volumes, each of at most `most` draws. `show` is called with a
    line of text that says how far the run is; `clock` returns seconds.
    """

    def __init__(self, wanted, *, most, show=None, clock=time.monotonic):
        self._wanted, self._most = wanted, most
        self._show, self._clock = show, clock
        self._started, self._dropped, self.kept = clock(), [], 0

    @property
    def n(self):
        """Draws so far: int."""
        return self.kept + len(self._dropped)

    def add(self, verdicts):
        """Count draws, given the reasons against each; none for those that are kept."""
        first = self.n == 0
        self._dropped += [reasons for reasons in verdicts if reasons]
        self.kept += sum(not reasons for reasons in verdicts)
        if first:
            logger.info(self.estimate())
        if self._show is not None:
            self._show(str(self))

    def __str__(self):
        """Return such as "12 draws, 2 kept; most fail by brain volume in mL (7)"."""
        words = f"{self.n} draws, {self.kept} kept"
        for name, times in list(count_reasons(self._dropped).items())[:1]:
            words += f"; most fail by {name} ({times})"
        return words

    def estimate(self):
        """Estimate the time of the run by the draws so far: a line of text."""
        seconds = (self._clock() - self._started) / self.n
        least, most = (seconds * n for n in (self._wanted, self._wanted * self._most))
        return (
            f"QC filter: a draw takes {_duration(seconds)}; {self._wanted} volumes "
            f"take {_duration(least)} if all pass, {_duration(most)} at most "
            f"({self._most} draws each)"
        )


def _duration(seconds):
    """Return a duration in one unit, such as "40 s", "12 min", "3.5 h"."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s"
