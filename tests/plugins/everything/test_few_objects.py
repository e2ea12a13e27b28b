"""Few objects among much noise: they are what is selected, and nothing else."""

import numpy as np
import pytest
from seen import seen

from sam2_plugins.everything.linking import Track
from sam2_plugins.everything.selecting import objects_among


def noise(count: int, seed: int = 0) -> list[Track]:
    """Specks as a model sees them in noise: unsure, some on many frames."""
    random = np.random.default_rng(seed)
    return [
        Track(
            {t: seen(20 + i % 40, 20, 4, score) for t in range(random.integers(1, 9))},
            agreement=[0.6] * int(random.integers(1, 8)),
        )
        for i, score in enumerate(random.uniform(0.15, 0.29, count))
    ]


@pytest.mark.parametrize("count", [0, 30, 1000])
def test_two_objects_are_found_however_many_specks_there_are(count: int):
    two = [Track({t: seen(x, 30, 9, 0.92) for t in range(8)}, agreement=[1.0] * 7) for x in (20, 60)]
    assert objects_among(noise(count) + two, 10, 0.3) == two


def test_of_noise_alone_nothing_is_an_object():
    assert objects_among(noise(300), 10, 0.3) == []
