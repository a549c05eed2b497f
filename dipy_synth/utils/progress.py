"""Progress bars: animated in a terminal, lines in a log."""

from collections.abc import Sized
from contextlib import contextmanager
import sys

from tqdm.auto import tqdm
from tqdm.std import tqdm as text_bar

SECONDS = 30.0  # between two lines of a log

_VOLUMES = (
    "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}, "
    "{rate_inv_fmt}{postfix}]"
)


class LogBar(text_bar):
    """A progress bar of tqdm for a file or a pipe: one line per interval."""

    def __init__(self, *args, **kwargs):
        own = {"mininterval": SECONDS, "maxinterval": SECONDS, "miniters": 1}
        super().__init__(*args, **{**kwargs, **own, "leave": False})

    def display(self, msg=None, pos=None):
        """Write the state as a line."""
        if msg is None:
            self.fp.write(f"{self}\n")
            self.fp.flush()
        return False

    def set_description(self, desc=None, refresh=True):
        """Set the description, which is shown in the next line."""
        super().set_description(desc, refresh=False)

    def close(self):
        """Write the last line, unless it was written."""
        if not self.disable and self.n != self.last_print_n:
            self.display()
        super().close()


def progress_bar(iterable=None, *, desc, unit, total=None, shown=True, **options):
    """Make a progress bar with the remaining time, of `iterable` or by ``update``.

    It is animated in a terminal or a notebook, and a `LogBar` in a file or a pipe. An
    empty one is not shown. `options` are those of `tqdm.tqdm`.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    moves = sys.stderr.isatty() or "ipykernel" in sys.modules
    return (tqdm if moves else LogBar)(
        iterable,
        total=total,
        desc=desc,
        unit=unit,
        disable=not shown or total == 0,
        **options,
    )


class VolumeBar:
    """A progress bar that advances by fractions of a volume."""

    def __init__(self, bar):
        self._bar = bar

    def __call__(self, share):
        """Advance by a fraction of a volume, such as 0.25."""
        # fractions may sum to a little more than 1 by rounding
        self._bar.update(min(share, self._bar.total - self._bar.n))

    def note(self, words):
        """Show a few words at the end of the bar."""
        self._bar.set_postfix_str(words)


@contextmanager
def volume_bar(total, *, desc="synthetic brains", unit="volume", shown=True):
    """Show a bar that advances by fractions of a volume, for an early estimate of time.

    It yields a `VolumeBar`; options are those of `progress_bar`.
    """
    options = {"desc": desc, "unit": unit, "shown": shown, "bar_format": _VOLUMES}
    with progress_bar(total=total, **options) as bar:
        yield VolumeBar(bar)
