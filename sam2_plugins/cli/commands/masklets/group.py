"""``sam2 masklets``: the group of its commands."""

from typing import Any

import typer
from typer.core import TyperGroup

from sam2_plugins.cli.commands.masklets.make import make
from sam2_plugins.cli.commands.masklets.verification import queue, report, verdict
from sam2_plugins.cli.commands.options import examples

__all__ = ["register"]

_MAKE = "make"


class _MadeByDefault(TyperGroup):
    """Commands, of which ``make`` is meant where none is named: ``sam2 masklets VIDEOS -o DATASET``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ("--help", "-h"))
        return super().parse_args(ctx, args if named or not args else [_MAKE, *args])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    masklets = typer.Typer(
        cls=_MadeByDefault,
        help="Find masklets in many videos, let people verify them, and count: the paper's data engine.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    masklets.command(
        _MAKE,
        epilog=examples(
            "sam2 masklets videos/ -o dataset",
            "sam2 masklets make videos/*.mp4 -o dataset --points-per-side 32 --crop-layers 2",
        ),
    )(make)
    masklets.command("queue", epilog=examples("sam2 masklets queue dataset --by ada"))(queue)
    masklets.command(
        "verdict",
        epilog=examples("sam2 masklets verdict dataset --video walk --masklet 3 --accept --by ada"),
    )(verdict)
    masklets.command("report", epilog=examples("sam2 masklets report dataset --csv phases.csv"))(report)
    app.add_typer(
        masklets,
        name="masklets",
        epilog=examples("sam2 masklets videos/ -o dataset", "sam2 masklets report dataset"),
    )
