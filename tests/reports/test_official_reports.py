"""Frames that the official names track, after reports of scripts that were moved to another package.

Named by its number in the collection; the right answer is asserted, the wrong one of 2268ca4 is said.
"""

from typing import Any

import numpy as np
import pytest

from sam2_engine.official_api.sam2_video_predictor import SAM2VideoPredictor
from sam2_engine.weights.loading import load_model


@pytest.mark.parametrize(
    ("prompted", "arguments", "frames"),
    [
        (3, {"start_frame_idx": 0}, [0, 1, 2, 3, 4, 5]),  # was 3, 4, 5
        (1, {"start_frame_idx": 5, "reverse": True}, [5, 4, 3, 2, 1, 0]),  # was 1, 0
        (1, {"start_frame_idx": 5, "max_frame_num_to_track": 2, "reverse": True}, [5, 4, 3]),  # was nothing
        (3, {"start_frame_idx": 0, "max_frame_num_to_track": 2}, [0, 1, 2]),  # was nothing
    ],
)
def test_35_frames_before_the_first_prompt_are_tracked(
    prompted: int, arguments: dict[str, Any], frames: list[int]
) -> None:
    y, x = np.mgrid[:96, :128]
    video = np.stack([np.where((x - 30 - 6 * t) ** 2 + (y - 48) ** 2 < 150, 200, 50) for t in range(6)])
    predictor = SAM2VideoPredictor(load_model("nano", device="cpu", image_size=128))
    state = predictor.init_state(video.astype(np.uint8))
    predictor.add_new_points_or_box(state, prompted, 1, points=[[30 + 6 * prompted, 48]], labels=[1])
    assert [frame for frame, _, _ in predictor.propagate_in_video(state, **arguments)] == frames
