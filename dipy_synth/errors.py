"""The one exception that means: the input is wrong, not the program."""


class InputError(ValueError):
    """Bad input, told in words a user can act on.

    The message says which file (or argument) is meant, what came and what was
    expected. The command line prints it without a traceback and exits with 1.
    """
