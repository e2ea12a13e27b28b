import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from label_studio_host import LabelStudio, Project, Service, Workspace, drive_page


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    service = LabelStudio.install_and_start(tmp_path_factory.mktemp("label-studio"))
    yield service
    service.stop()


@pytest.fixture(scope="session")
def workspaces(
    label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Workspace]]:
    """Makes workspaces; they get a personal access token, the modern kind."""
    key = label_studio.access_token()
    made: list[Workspace] = []

    def workspace() -> Workspace:
        made.append(Workspace(tmp_path_factory.mktemp("workspace"), label_studio.url, key))
        return made[-1]

    yield workspace
    for service in (service for workspace in made for service in workspace.started):
        service.stop()
        log = service.log.read_text()
        assert key not in log
        assert label_studio.token not in log
        assert "Traceback" not in log


@pytest.fixture(scope="session")
def serve(workspaces: Callable[[], Workspace]) -> Callable[[], Service]:
    """Start the server that most tests share, at one address, again if need be."""
    return workspaces().serve


@pytest.fixture(scope="session")
def backend(serve: Callable[[], Service]) -> Service:
    return serve()


@pytest.fixture(scope="session")
def drive(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Do as an annotator does in Chromium; return the regions that the page sent and got, and its own."""
    screenshots = Path(os.environ.get("SAM2_PICTURES", tmp_path_factory.mktemp("pictures")))

    def run(
        kind: str, project: Project, region_type: str = "brushregion"
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        name = f"label-studio-{kind}{'' if region_type == 'brushregion' else '-' + region_type}.png"
        return drive_page(label_studio, kind, project, screenshots / name, region_type)

    return run
