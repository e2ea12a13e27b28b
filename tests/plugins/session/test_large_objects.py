"""Objects found without a click that cover much of the image: one each, not in pieces."""

import numpy as np
from scipy import ndimage

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
