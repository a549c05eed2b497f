"""A progress bar of volumes that moves within a volume, so that it knows early."""

from contextlib import contextmanager

from tqdm import tqdm

_FORMAT = (
    "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}, "
    "{rate_inv_fmt}]"
)


@contextmanager
def volume_bar(total, *, shown=True):
    """Show a bar that goes on by parts of a volume.

    Parameters
    ----------
    total : int
        Volumes to come.
    shown : bool, optional
        Whether it is to be seen.

    Yields
    ------
    callable
        ``done(0.25)`` tells that a quarter of a volume is.
    """
    options = {"total": total, "disable": not shown, "bar_format": _FORMAT}
    with tqdm(desc="synthetic brains", unit="volume", **options) as bar:
        # the shares of a whole can sum to a little more than it
        yield lambda share: bar.update(min(share, total - bar.n))
