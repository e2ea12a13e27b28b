"""What is ticked and chosen in the dock is so again in the next one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox

from napari_plugin.runtime.preferences import keep_choice, read_choice
from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.session.automatic_segmentation import AutomaticSettings
from tests.napari.dock_steps import WAIT, Open, annotation_of

pytestmark = pytest.mark.gui


def boxes(dock: AnnotationDock) -> list[QCheckBox]:
    panel = dock.propagation
    return [
        *(panel.from_shown, panel.show_each_frame, panel.only_current, panel.tracks),
        *(dock.objects.names, dock.objects.each_new),
    ]


def test_the_next_dock_is_as_the_last_one_was_left(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    assert not any(box.isChecked() for box in boxes(dock))
    for box in boxes(dock):
        box.click()
    formats = dock.export.format
    formats.value = formats.choices[2]
    dock.commit.there.value = True
    dock.importing.kind.value = False
    dock.automatic.fine.value, dock.automatic.min_area.value = True, 7
    dock.importing.verify.value = True
    viewer = dock.viewer
    viewer.window.remove_dock_widget(dock)
    again = AnnotationDock(viewer, dock._application)
    viewer.window.add_dock_widget(again, name="again")
    qtbot.waitUntil(lambda: again.annotation is not None, timeout=WAIT)
    assert all(box.isChecked() for box in boxes(again))
    annotation = annotation_of(again)
    assert (annotation.show_each_frame, annotation.prompts.each_new, annotation.tracks.shown) == (True,) * 3
    assert again.export.format.value is formats.choices[2]
    assert (again.commit.there.value, again.importing.kind.value) == (True, False)
    assert (again.automatic.fine.value, again.automatic.min_area.value) == (True, 7)
    assert not again.importing.verify.value  # what counts as right is said each time


def test_what_the_program_ticks_is_not_the_users_choice(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    keep_choice("tracks", True)
    keep_choice("export_format", "a format of yesterday")
    dock = open_dock(discs[0])
    assert not annotation_of(dock).tracks.shown  # nothing moves in a single image
    assert dock.export.format.value is dock.export.format.choices[0]
    assert read_choice("tracks") is True


def test_limits_begin_where_the_search_has_them() -> None:
    settings = AutomaticSettings()
    assert (read_choice("min_area"), read_choice("max_objects")) == (settings.min_area, settings.max_objects)
