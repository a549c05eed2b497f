"""Errors that a user can fix: bad input, and results that fail a check."""

from contextlib import contextmanager


class InputError(ValueError):
    """Bad input.

    The message has the file (or argument), its value and what was expected. The command
    line prints it without a traceback and exits with 1.
    """


class QualityError(RuntimeError):
    """A result that does not pass its checks, from valid input.

    The message has the result and the check. The command line prints it without
    a traceback and exits with 1.
    """


@contextmanager
def remedy(words):
    """Add what helps to the message of an InputError that is raised within."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; {words}") from error
