"""A real window with the dock in it, and a small model with random weights that it finds under `small`."""

import gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari.settings
import numpy as np
import pytest
from napari._vispy.canvas import VispyCanvas
from npe2 import PluginManager
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication
from x_server import provide_display

from napari_plugin.runtime.application import Sam2Application
from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.runtime.model_store import ModelStore

WAIT = 60_000  # ms: until something happens, however slow the machine


@pytest.fixture(scope="session")
def qapp_cls() -> Any:
    """Return the class of the application, which pytest-qt makes at once."""
    provide_display()
    return QApplication


@pytest.fixture
def discs() -> NDArray[np.uint8]:
    """(6, 60, 80) uint8: two discs that move over noise."""
    y, x = np.mgrid[:60, :80]
    frames = np.random.default_rng(3).integers(20, 60, (6, 60, 80)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100] = 220
        frame[(x - 60) ** 2 + (y - 40 + t) ** 2 < 80] = 150
    return frames


@pytest.fixture
def small_model(small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a model that the dock finds beside the shipped one."""
    folder = tmp_path / "cache" / "checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(small_checkpoint, folder / "small.safetensors")
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    return "small"


@pytest.fixture
def application(qapp: Any, small_model: str, tmp_path: Path) -> Iterator[Sam2Application]:
    application = Sam2Application(ModelStore("cpu"), small_model, tmp_path / "sessions")
    yield application
    application.close()


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_other_modules() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def older_objects_left_alone(_garbage_of_other_modules: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep garbage collection, which napari asks for whenever a layer goes, to what the test makes.

    Half a million objects of imported modules would take a third of a window's time. Tracking does the same
    for itself, and would end it here too.
    """
    gc.collect()
    gc.freeze()
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "unfreeze", lambda: None)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test leaves in the dock be forgotten after it, and nothing be there before."""
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})


@pytest.fixture(autouse=True)
def own_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each window delete what it drew in its own OpenGL context.

    napari 0.9.2 deletes it in the one that drew last, which with several windows in one process is often
    another's: that then fails at its next drawing (GL_INVALID_VALUE).
    """
    update = VispyCanvas._clean_and_update_scenegraph

    def update_in_own_context(canvas: VispyCanvas) -> None:
        canvas._scene_canvas.set_current()
        update(canvas)

    monkeypatch.setattr(VispyCanvas, "_clean_and_update_scenegraph", update_in_own_context)


@pytest.fixture(autouse=True)
def plugins_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the search for installed plugins, which napari's fixture wants for every window."""
    if "sam2-plugins" in PluginManager.instance():
        monkeypatch.setattr(PluginManager, "discover", lambda *_, **__: 0)


@pytest.fixture
def open_dock(
    make_napari_viewer_proxy: Callable[..., Any], application: Sam2Application, qtbot: Any
) -> Callable[..., AnnotationDock]:
    """Return a function that shows images in a new viewer and opens the dock on the last one."""

    def open_dock(*images: Any, wait: bool = True, **options: Any) -> AnnotationDock:
        viewer = make_napari_viewer_proxy(show=True)
        for image in images:
            viewer.add_image(image, **options)
        dock = AnnotationDock(viewer, application)
        viewer.window.add_dock_widget(dock, name="SAM 2")
        if wait:
            qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
        return dock

    return open_dock
