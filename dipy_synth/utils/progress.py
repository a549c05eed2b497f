"""One progress bar for all: it moves in a terminal and writes lines to a log."""

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
    """A progress bar for a file or a pipe: a line now and then.

    Parameters
    ----------
    *args, **kwargs
        As for `tqdm.tqdm`; the interval between lines is its own.
    """

    def __init__(self, *args, **kwargs):
        own = {"mininterval": SECONDS, "maxinterval": SECONDS, "miniters": 1}
        super().__init__(*args, **{**kwargs, **own, "leave": False})

    def display(self, msg=None, pos=None):
        """Write the state as a line of its own."""
        if msg is None:
            self.fp.write(f"{self}\n")
            self.fp.flush()
        return False

    def set_description(self, desc=None, refresh=True):
        """Name what is done; it is seen in the next line."""
        super().set_description(desc, refresh=False)

    def close(self):
        """Write the last line, unless it is there."""
        if not self.disable and self.n != self.last_print_n:
            self.display()
        super().close()


def progress_bar(iterable=None, *, desc, unit, total=None, shown=True, **options):
    """Make a progress bar with the time left.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through; without it the bar is moved by its method ``update``.
    desc : str
        What is done, in a word or two.
    unit : str
        What is counted.
    total : int, optional
        How many there are; by default the length of `iterable`, if it has one.
    shown : bool, optional
        Whether the bar is to be seen. One of nothing is not.
    **options
        Others of `tqdm.tqdm`.

    Returns
    -------
    tqdm.tqdm
        In a terminal or a notebook it moves; in a file or a pipe it is `LogBar`.
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
    """A progress bar that goes on by parts of a volume.

    Parameters
    ----------
    bar : tqdm.tqdm
        The bar, in volumes.
    """

    def __init__(self, bar):
        self._bar = bar

    def __call__(self, share):
        """Go on by a share of a volume, such as 0.25."""
        # the shares of a whole can sum to a little more than it
        self._bar.update(min(share, self._bar.total - self._bar.n))

    def note(self, words):
        """Show a few words at the end of the bar."""
        self._bar.set_postfix_str(words)


@contextmanager
def volume_bar(total, *, desc="synthetic brains", unit="volume", shown=True):
    """Show a bar that goes on by parts of a volume, so that it knows the time early.

    Parameters
    ----------
    total : int
        Volumes to come.
    desc, unit, shown : optional
        As for `progress_bar`.

    Yields
    ------
    VolumeBar
    """
    options = {"desc": desc, "unit": unit, "shown": shown, "bar_format": _VOLUMES}
    with progress_bar(total=total, **options) as bar:
        yield VolumeBar(bar)
