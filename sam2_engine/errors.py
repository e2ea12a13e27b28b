"""Error and warning whose messages are written for users."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["InputError", "InputWarning", "OptionError"]


class InputError(ValueError):
    """Input that cannot be used.

    The message is one sentence for the user: what was wrong, where, and how to mend it. Hosts show
    it as it is (the command line prints it and exits with status 2).
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Let every kind be pickled, whatever its constructor takes: workers elsewhere raise them, too."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[InputError], arguments: tuple[Any, ...]) -> InputError:
    make = OSError.__new__ if issubclass(kind, OSError) else kind.__new__  # Python allows no other there
    error = make(kind, *arguments)
    error.args = arguments
    return error


class OptionError(InputError):
    """Input that another value of an option would make usable; hosts name options as their users give them.

    Parameters
    ----------
    sentence
        As of ``InputError``, with ``{name}`` where an option stands.
    options
        The value to give for each option, ``True`` for a flag; ``None`` to name it alone.

    Attributes
    ----------
    options
        These values.

    Examples
    --------
    >>> error = OptionError("There are two axes; fix one, for example {fixed}.", fixed={"Z": 0})
    >>> print(error)
    There are two axes; fix one, for example fixed={'Z': 0}.
    >>> print(error.for_command_line())
    There are two axes; fix one, for example --fixed Z=0.
    """

    def __init__(self, sentence: str, **options: Any) -> None:
        self._sentence, self.options = sentence, options
        super().__init__(self._spelled(lambda name, value: name if value is None else f"{name}={value!r}"))

    def for_command_line(self) -> str:
        """Return the message with the options as they are typed in a terminal."""
        return self._spelled(_typed)

    def _spelled(self, spell: Callable[[str, Any], str]) -> str:
        sentence = self._sentence
        for name, value in self.options.items():
            sentence = sentence.replace(f"{{{name}}}", spell(name, value))
        return sentence


def _typed(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    values = [f"{key}={item}" for key, item in value.items()] if isinstance(value, Mapping) else [value]
    return " ".join(option if item is None or item is True else f"{option} {item}" for item in values)


class InputWarning(UserWarning):
    """Input that was used, but not entirely as given (for example non-finite pixels)."""
