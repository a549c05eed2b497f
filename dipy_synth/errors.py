"""What a user can mend: bad input, and results that do not pass."""


class InputError(ValueError):
    """Bad input, told in words a user can act on.

    The message says which file (or argument) is meant, what came and what was
    expected. The command line prints it without a traceback and exits with 1.
    """


class QualityError(RuntimeError):
    """What was made does not pass its checks; the input is sound.

    The message says what was judged, by which check. The command line prints it without
    a traceback and exits with 1.
    """
