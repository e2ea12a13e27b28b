"""Commands of ``sam2`` that concern Label Studio, registered through entry points."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_plugins.cli.commands.options import OverwriteOption, examples, needs

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``sam2``."""
    app.command(
        "serve",
        short_help=f"Serve as a Label Studio ML backend ({needs('label-studio', 'waitress')}).",
        epilog=examples("sam2 serve --port 9090 --model nano"),
    )(serve)
    app.command(
        "export-label-studio",
        epilog=examples("sam2 export-label-studio project.json -o cells --format training"),
    )(export_label_studio)
    app.command(
        "masklet-tasks",
        epilog=examples("sam2 masklet-tasks dataset -o tasks.json --media '/data/local-files/?d=dataset'"),
    )(masklet_tasks)
    app.command("masklet-verdicts", epilog=examples("sam2 masklet-verdicts dataset project.json"))(
        masklet_verdicts
    )


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9090,
    model: Annotated[str, typer.Option(envvar="MODEL", help="A model's name or file.")] = "nano",
    device: Annotated[str, typer.Option(envvar="DEVICE", help="cpu, cuda, mps, or auto.")] = "auto",
    threads: Annotated[
        int, typer.Option(envvar="THREADS", min=1, max=64, help="Clicks computed at once.")
    ] = 8,
) -> None:
    """Serve as a Label Studio ML backend.

    Further settings are environment variables: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (where media
    lies), ALLOWED_HOSTS, MEDIA_ROOT, BASIC_AUTH_USER and BASIC_AUTH_PASS, PREDICT_SECONDS, LOG_LEVEL.
    """
    from labelstudio_backend.http.server import serve as run
    from labelstudio_backend.settings import Settings

    run(Settings.from_environment(model=model, device=device), host, port, threads)


def export_label_studio(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT", help="The project's export from Label Studio, as JSON.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATH", help="The file or folder to write.")
    ],
    format_name: Annotated[
        str,
        typer.Option("--format", metavar="NAME", help="One of tiff, coco, youtube-vis, training, review."),
    ] = "training",
    model: Annotated[
        str,
        typer.Option(envvar="MODEL", metavar="NAME", help="To track again where masks are not stored."),
    ] = "nano",
    device: Annotated[str, typer.Option(envvar="DEVICE", help="cpu, cuda, mps, or auto.")] = "auto",
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="KEY", help="Where the tasks' data has the media; without it, looked for."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write an annotated Label Studio project to masks of some format, review pages, or a folder to train on.

    The masks of tracks are those that `sam2 serve` stored; tracks that were changed since are tracked again.
    Media is read as the server reads it: give the same environment (LABEL_STUDIO_URL and so on).
    """
    from labelstudio_backend.export.project_export import export_project
    from labelstudio_backend.settings import Settings
    from sam2_engine.wording import counted
    from sam2_plugins.cli.commands.streams import print_stderr

    settings = Settings.from_environment(model=model, device=device)
    summary = export_project(project, output, format_name, settings, key, overwrite)
    for sentence in summary.changes:
        print_stderr(f"Note: {sentence}")
    counts = f"{counted(summary.frames, 'frame')}, {counted(summary.objects, 'object')}"
    typer.echo(f"{summary.path}: {counts}")


def masklet_tasks(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A folder that `sam2 masklets` made.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="JSON", help="The tasks to import.")],
    media: Annotated[
        str,
        typer.Option(
            "--media",
            metavar="URL",
            help="The folder's address for the page: /data/local-files/?d=dataset, say.",
        ),
    ],
    second: Annotated[
        bool, typer.Option("--second", help="Tasks for what was decided on, for a second person.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the masklets that wait for a verdict as tasks of Label Studio, and print the labeling setup."""
    from labelstudio_backend.export.masklet_tasks import LABELING_CONFIG, write_masklet_tasks
    from sam2_engine.wording import counted
    from sam2_plugins.cli.commands.streams import print_stderr
    from sam2_plugins.masklets.dataset import MaskletDataset

    count = write_masklet_tasks(
        MaskletDataset.open(dataset), output, media, second=second, overwrite=overwrite
    )
    print_stderr(f"{output}: {counted(count, 'task')}. The project's labeling setup, as code:")
    typer.echo(LABELING_CONFIG.rstrip())


def masklet_verdicts(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A folder that `sam2 masklets` made.")],
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT", help="The project's export from Label Studio, as JSON.")
    ],
    device: Annotated[str, typer.Option(envvar="DEVICE", help="cpu, cuda, mps, or auto.")] = "auto",
) -> None:
    """Take over the verdicts and corrections that people gave in Label Studio; each of them once."""
    from labelstudio_backend.export.masklet_tasks import import_verdicts
    from sam2_engine.wording import counted
    from sam2_plugins.cli.commands.streams import print_stderr
    from sam2_plugins.masklets.dataset import MaskletDataset
    from sam2_plugins.runtime.model_store import ModelStore

    summary = import_verdicts(MaskletDataset.open(dataset), project, ModelStore(device))
    for problem in summary.problems:
        print_stderr(f"Note: {problem}")
    known = f", {summary.known} known before" if summary.known else ""
    gone = f", {summary.withdrawn} withdrawn that are in the project no more" if summary.withdrawn else ""
    typer.echo(f"{counted(summary.taken, 'verdict')}, {summary.corrected} with corrections{known}{gone}")
    if summary.problems:
        raise typer.Exit(1)
