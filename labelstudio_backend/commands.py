"""``sam2 serve``, which the command line finds through the entry points ``sam2_plugins.commands``."""

from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``sam2``."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9090,
    model: Annotated[str, typer.Option(envvar="MODEL", help="A model's name or file.")] = "nano",
    device: Annotated[str, typer.Option(envvar="DEVICE", help="cpu, cuda, mps, or auto.")] = "auto",
    threads: Annotated[int, typer.Option(envvar="THREADS", min=1, max=64, help="Requests at a time.")] = 8,
) -> None:
    """Serve as a Label Studio ML backend.

    The environment says the rest: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (where media lies),
    ALLOWED_HOSTS, MEDIA_ROOT, BASIC_AUTH_USER and BASIC_AUTH_PASS, PREDICT_SECONDS, LOG_LEVEL.
    """
    from labelstudio_backend.server import serve as run
    from labelstudio_backend.settings import Settings

    run(Settings.from_environment(model=model, device=device), host, port, threads)
