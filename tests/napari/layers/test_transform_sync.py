"""Masks and prompts lie on the image, also after it was scaled and given units."""

import numpy as np
import pytest
from dock_steps import Open, annotation_of
from numpy.typing import NDArray

pytestmark = pytest.mark.gui


def test_layers_go_with_the_image_to_another_place_and_scale(
    open_dock: Open, discs: NDArray[np.uint8]
) -> None:
    dock = open_dock(discs)
    annotation, image = annotation_of(dock), dock.viewer.layers[0]
    image.scale = (5, 0.65, 0.65)
    image.units = ("min", "um", "um")
    image.translate = (0, 3, 4)
    for layer in annotation.layers:
        np.testing.assert_allclose(layer.scale, (5, 0.65, 0.65))
        np.testing.assert_allclose(layer.translate, (0, 3, 4))
        assert layer.units == image.units
    np.testing.assert_allclose(annotation.masks.layer.extent.world, image.extent.world)
    assert str(annotation.autosave.scale) == "pixels of 0.65 µm"


def test_layers_stay_where_they_are_once_the_dock_is_closed(
    open_dock: Open, discs: NDArray[np.uint8]
) -> None:
    dock = open_dock(discs)
    layer, image = annotation_of(dock).masks.layer, dock.viewer.layers[0]
    dock.release()
    image.scale = (1, 2, 2)
    np.testing.assert_allclose(layer.scale, (1, 1, 1))
