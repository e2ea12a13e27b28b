"""Objects found without a click: large ones whole, and none where the image has no value."""

import numpy as np
import pytest
from scipy import ndimage

from sam2_engine.preprocessing import IntensityWindow
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, find_objects


def test_an_object_of_a_third_of_the_image_is_found_whole(store: ModelStore) -> None:
    random = np.random.default_rng(1)
    y, x = np.mgrid[:200, :200]
    disc = (y - 91) ** 2 + (x - 90) ** 2 < 70**2
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
