import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from label_studio_host import Desk, LabelStudio, Project, Service, drive_page


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    service = LabelStudio.install_and_start(tmp_path_factory.mktemp("label-studio"))
    yield service
    service.stop()


@pytest.fixture(scope="session")
def desks(
    label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Desk]]:
    """Make desks; they get a personal access token, the modern kind."""
    key = label_studio.access_token()
    made: list[Desk] = []

    def desk() -> Desk:
        made.append(Desk(tmp_path_factory.mktemp("desk"), label_studio.url, key))
        return made[-1]

    yield desk
    for service in (service for desk in made for service in desk.started):
        service.stop()
        log = service.log.read_text()
        assert key not in log
        assert label_studio.token not in log
        assert "Traceback" not in log


@pytest.fixture(scope="session")
def serve(desks: Callable[[], Desk]) -> Callable[[], Service]:
    """Start the server that most tests share, at one address, again if need be."""
    return desks().serve


@pytest.fixture(scope="session")
def backend(serve: Callable[[], Service]) -> Service:
    return serve()


@pytest.fixture(scope="session")
def drive(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Do as an annotator does in Chromium; return what was asked and answered, and the page's own regions."""
    pictures = Path(os.environ.get("SAM2_PICTURES", tmp_path_factory.mktemp("pictures")))

    def run(
        kind: str, project: Project, answer: str = "brushregion"
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        name = f"label-studio-{kind}{'' if answer == 'brushregion' else '-' + answer}.png"
        return drive_page(label_studio, kind, project, pictures / name, answer)

    return run
