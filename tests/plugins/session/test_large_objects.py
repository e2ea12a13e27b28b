"""Objects found without a click: large ones whole, and none where the image has no value."""

import numpy as np
import pytest
from scipy import ndimage

from sam2_engine.preprocessing import IntensityWindow
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, find_objects


@pytest.mark.parametrize(("center", "radius"), [((91, 90), 70), ((101, 98), 91)], ids=["third", "two thirds"])
def test_a_large_object_is_found_whole(center: tuple[int, int], radius: int, store: ModelStore) -> None:
    random = np.random.default_rng(1)
    y, x = np.mgrid[:200, :200]
    disc = (y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2
    texture = ndimage.gaussian_filter(random.normal(size=disc.shape), 3)
    image = random.normal(100, 8, disc.shape) + disc * (80 + 5 * texture / texture.std())
    few = AutomaticSettings(points_per_side=8)
    found = [one.mask.to_array() for one in find_objects(store, "nano", image.astype(np.uint8), None, few)]
    shared = [mask & disc for mask in found if (mask & disc).sum() > 500]
    assert len(shared) == 1
    assert shared[0].sum() > 0.9 * disc.sum()


@pytest.mark.filterwarnings("error")
def test_where_an_image_has_no_value_there_is_no_object(store: ModelStore) -> None:
    y, x = np.mgrid[:96, :96]
    image = np.random.default_rng(2).normal(100, 4, (96, 96)).astype(np.float32)
    image[(y - 30) ** 2 + (x - 30) ** 2 < 144] = 180
    image[60:80, 60:80] = np.nan
    few = AutomaticSettings(points_per_side=8)
    found = find_objects(store, "nano@256", image, IntensityWindow((50.0,), (200.0,)), few)
    assert any(one.mask.to_array()[30, 30] for one in found)
    assert not any(one.mask.to_array()[70, 70] for one in found)
