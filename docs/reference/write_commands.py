"""Options of every command in ``commands.md``, from what ``--help`` shows.

``python docs/reference/write_commands.py`` writes the page; a test holds it to the commands.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_group

from sam2_plugins.cli.app import app, load_command

__all__ = ["PAGE", "commands", "written"]

PAGE = Path(__file__).parent / "commands.md"
_TITLE = """# Options of every command

What `sam2 COMMAND --help` shows, on one page; how they are used: [The command line](../command-line.md).
This page is written by `python docs/reference/write_commands.py`.
"""
_MISSING_HERE = re.compile(r', missing here: pip install "[^"]+"')
"""The page is the same wherever it is written, whatever is installed there."""
_EVERYWHERE = {"--help", "--install-completion", "--show-completion"}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its name as one types it, those of a command after it."""
    for name, command in get_group(app).commands.items():
        try:
            yield from _with_its_own(f"sam2 {name}", load_command(name))
        except KeyError:  # a host's command, which is loaded already
            yield from _with_its_own(f"sam2 {name}", command)


def written() -> str:
    """Return the page."""
    return "\n".join([_TITLE, *(line for name, command in commands() for line in _section(name, command))])


def _with_its_own(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for part, own in getattr(command, "commands", {}).items():
        yield from _with_its_own(f"{name} {part}", own)


def _section(name: str, command: Any) -> Iterator[str]:
    help_text = inspect.cleandoc(command.help or command.short_help or "").partition("\f")[0]
    yield from (f"## {name}", "", help_text, "")
    context = command.context_class(command, info_name=name)
    shown = [row for parameter in command.params if (row := _row(parameter, context))]
    if shown:
        yield from ("| | |", "|---|---|", *shown, "")


def _row(parameter: Any, context: Any) -> str:
    """Return a row of the table, empty for what every command has."""
    if _EVERYWHERE & set(parameter.opts):
        return ""
    record = parameter.get_help_record(context)
    if not record:
        return ""
    option, said = record
    return f"| {_cell(f'`{option}`')} | {_cell(_MISSING_HERE.sub('', said))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
