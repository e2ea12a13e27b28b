"""Error and warning whose messages are written for users."""

__all__ = ["InputError", "InputWarning"]


class InputError(ValueError):
    """Input that cannot be used.

    The message is one sentence for the user: what was wrong, where, and how to mend it. Hosts show
    it as it is (the command line prints it and exits with status 2).
    """


class InputWarning(UserWarning):
    """Input that was used, but not entirely as given (for example non-finite pixels)."""
