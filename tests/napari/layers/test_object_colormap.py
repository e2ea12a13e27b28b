"""Objects of large ids have their colors, in a real window and without numba."""

from typing import Any

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap

from napari_plugin.layers.object_colormap import ObjectColormap

LARGEST = 2**32 - 1
NOTHING = (0.0, 0.0, 0.0, 0.0)


def colors(*ids: int) -> dict[int | None, Any]:
    rng = np.random.default_rng(0)
    return {None: NOTHING, 0: NOTHING} | {i: (*rng.random(3), 1.0) for i in ids}


@pytest.mark.parametrize("count", [1, 3, 252, 253, 254, 400])
def test_the_same_pixels_as_napari_gives_smaller_ids(count: int) -> None:
    small, large = range(1, count + 1), [i * 1000 + 70_000 for i in range(1, count + 1)]
    chosen = np.random.default_rng(1).integers(0, count + 1, (30, 40))
    ours, theirs = (ObjectColormap(color_dict=colors(*large)), DirectLabelColormap(color_dict=colors(*small)))
    expected = theirs._data_to_texture(chosen.astype(np.uint32))
    values = np.array([0, *large])[chosen].astype(np.uint32)
    values[0, 0], expected[0, 0] = 69_999, 0  # nobody's
    given = ours._data_to_texture(values)
    assert given.dtype == expected.dtype
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_allclose(ours.map(values)[1:], theirs.map(chosen.astype(np.uint32))[1:])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("only_one", [False, True])
def test_the_same_colors_as_napari_gives_without_its_loop(dtype: type, only_one: bool) -> None:
    options = {"color_dict": colors(3, 7, 200), "use_selection": only_one, "selection": 7}
    values = np.array([[0, 3, 7], [200, 5, 255]], dtype)
    ours = ObjectColormap(**options).map(values)
    np.testing.assert_array_equal(ours, DirectLabelColormap(**options).map(values))
    assert ours[0, 2].any()
    assert ours[0, 1].any() != only_one


@pytest.mark.gui
def test_large_ids_are_drawn_in_their_colors(make_napari_viewer_proxy: Any) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    labels = np.zeros((20, 20), np.uint32)
    labels[:, :10], labels[:, 10:] = 70_000, LARGEST
    layer = viewer.add_labels(labels, opacity=1, blending="opaque")
    layer.colormap = ObjectColormap(
        color_dict={None: NOTHING, 0: NOTHING, 70_000: (1.0, 0, 0, 1), LARGEST: (0, 0, 1.0, 1)}
    )
    screenshot = viewer.screenshot(flash=False, canvas_only=True)
    middle = screenshot[screenshot.shape[0] // 2]
    left, right = middle[screenshot.shape[1] // 2 - 20], middle[screenshot.shape[1] // 2 + 20]
    assert left[:3].tolist() == [255, 0, 0]
    assert right[:3].tolist() == [0, 0, 255]
    layer.selected_label = LARGEST
    layer.show_selected_label = True
    screenshot = viewer.screenshot(flash=False, canvas_only=True)
    assert screenshot[screenshot.shape[0] // 2, screenshot.shape[1] // 2 - 20, :3].tolist() != [255, 0, 0]
