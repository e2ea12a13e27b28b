"""The same work in this engine, in the official package and in transformers, one class for each.

``side_by_side.py`` runs each in a process of its own. Nothing here but what a method imports may be newer
than the commit that this engine is compared with.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import scenes
import torch

__all__ = ["BEFORE", "BOXES", "PACKAGES", "Package"]

PARITY = Path(__file__).parent.parent / "tests" / "engine" / "parity"
BOXES = 16
BEFORE = "ours, before"
"""This engine as it was at another commit."""


def boxes(frame: int) -> np.ndarray:
    """Boxes around the objects, (16, 4)."""
    centers = np.array([scenes.center(frame, number % 10) for number in range(BOXES)])
    reach = 18 + np.arange(BOXES)[:, None] // 10
    return np.concatenate((centers - reach, centers + reach), axis=1).astype(np.float32)


class Package(Protocol):
    """The same work in each package; each call returns a number of mask pixels."""

    def encode(self, frame: int) -> int: ...
    def click(self, frame: int) -> int: ...
    def box(self, frame: int) -> int: ...
    def open(self, objects: int, length: int) -> int: ...
    def track(self) -> int: ...


class Ours:
    def __init__(self, variant: str, image_size: int) -> None:
        from sam2_engine import ImagePredictor, load_model

        if variant == "nano":
            self.model = load_model("nano", device="cpu", image_size=image_size)
        else:
            from memory import our_model

            from sam2_engine.modeling.precision import choose_dtype

            self.model = our_model(variant, image_size)
            self.model.compute_dtype = choose_dtype("auto", self.model.device)
        self.predictor = ImagePredictor(self.model)
        self.results: Iterator = iter(())

    def encode(self, frame: int) -> int:
        self.predictor.set_image(scenes.draw(frame))
        return 0

    def click(self, frame: int) -> int:
        masks, _, _ = self.predictor.predict([scenes.center(frame, 0)], [1])
        return int(masks.sum())

    def box(self, frame: int) -> int:
        return int(self.predictor.predict(box=boxes(frame), multimask_output=False)[0].sum())

    def open(self, objects: int, length: int) -> int:
        from sam2_engine import VideoSession

        frames = np.stack([scenes.draw(frame) for frame in range(length)])
        # The official package reads as many pointers as there are frames, up to 16.
        pointers = min(length, 16)
        session = VideoSession(self.model, frames, max_object_pointers=pointers)
        for number in range(objects):
            session.add_points(0, number + 1, scenes.center(0, number))
        self.results = session.propagate()
        return 0

    def track(self) -> int:
        return int(next(self.results).masks.sum())


class OursFast(Ours):
    """With all approximations on.

    Seeded weights find nothing, of which a window could be made: each object has one of the size that the
    drawn ones have, always at the same place, which costs the same.
    """

    def __init__(self, variant: str, image_size: int) -> None:
        from sam2_engine.modeling.approximations import approximations_of
        from sam2_engine.modeling.grid_window import GridWindow
        from sam2_engine.video import tracker

        super().__init__(variant, image_size)
        self.model.approximations = approximations_of("fast")
        if variant != "nano":
            diameter = 36 / scenes.HEIGHT * self.model.grid
            side = int(-(-(diameter + 1 + 2 * 4) // 4) * 4)
            window = GridWindow(self.model.grid // 4, self.model.grid // 4, side, side)
            tracker.window_around = lambda logits, earlier=None: window  # type: ignore[assignment]
            tracker.is_within = lambda logits, window, grid: True  # type: ignore[assignment]


class Official:
    def __init__(self, variant: str, image_size: int) -> None:
        import official_package

        self.predictor, self.video = official_package.build(variant, image_size)
        self.results: Iterator = iter(())

    def encode(self, frame: int) -> int:
        self.predictor.set_image(scenes.draw(frame))
        return 0

    def click(self, frame: int) -> int:
        masks, _, _ = self.predictor.predict(np.array([scenes.center(frame, 0)]), np.array([1]))
        return int(masks.sum())

    def box(self, frame: int) -> int:
        return int(self.predictor.predict(box=boxes(frame), multimask_output=False)[0].sum())

    def open(self, objects: int, length: int) -> int:
        from make_references import start

        state = start(self.video, np.stack([scenes.draw(frame) for frame in range(length)]))
        for number in range(objects):
            click = np.array([scenes.center(0, number)], np.float32)
            self.video.add_new_points_or_box(state, 0, number + 1, points=click, labels=np.array([1]))
        self.results = self.video.propagate_in_video(state)
        return 0

    def track(self) -> int:
        return int((next(self.results)[2] > 0).sum())


class Transformers:
    def __init__(self, variant: str, image_size: int) -> None:
        sys.path.insert(0, str(PARITY))
        from memory import our_model
        from test_parity_transformers import their_image_model, their_video_model

        self.side = image_size
        ours = our_model(variant, image_size)
        self.image_model, self.video_model = their_image_model(ours), their_video_model(ours)
        self.encoded: list[torch.Tensor] = []
        self.results: Iterator = iter(())

    def _pixels(self, frame: int) -> torch.Tensor:
        from sam2_engine.preprocessing import to_model_input

        return to_model_input(scenes.draw(frame), None, self.side)

    def _scaled(self, points: np.ndarray) -> torch.Tensor:
        scale = np.array([self.side / scenes.WIDTH, self.side / scenes.HEIGHT])
        return torch.from_numpy(np.float32(points * scale))

    def _pixels_in(self, low_res: torch.Tensor) -> int:
        from sam2_engine.preprocessing import logits_to_size

        return int((logits_to_size(low_res, (scenes.HEIGHT, scenes.WIDTH)) > 0).sum())

    def encode(self, frame: int) -> int:
        self.encoded = self.image_model.get_image_embeddings(self._pixels(frame))
        return 0

    def click(self, frame: int) -> int:
        points = self._scaled(np.array([scenes.center(frame, 0)]))[None, None]
        labels = torch.ones(1, 1, 1, dtype=torch.long)
        output = self.image_model(
            image_embeddings=self.encoded, input_points=points, input_labels=labels, multimask_output=True
        )
        return self._pixels_in(output.pred_masks[0])

    def box(self, frame: int) -> int:
        corners = self._scaled(boxes(frame).reshape(-1, 2)).view(1, BOXES, 4)
        output = self.image_model(image_embeddings=self.encoded, input_boxes=corners, multimask_output=False)
        return self._pixels_in(output.pred_masks[0])

    def open(self, objects: int, length: int) -> int:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        frames = torch.cat([self._pixels(frame) for frame in range(length)])
        session = Sam2VideoInferenceSession(frames, scenes.HEIGHT, scenes.WIDTH, dtype=torch.float32)
        for number in range(objects):
            click = self._scaled(np.array([scenes.center(0, number)]))[None, None]
            inputs = {"point_coords": click, "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
            session.add_point_inputs(session.obj_id_to_idx(number + 1), 0, inputs)
            session.obj_with_new_inputs.append(number + 1)
        self.video_model(session, frame_idx=0)
        self.results = self.video_model.propagate_in_video_iterator(session)
        return 0

    def track(self) -> int:
        return self._pixels_in(next(self.results).pred_masks)


PACKAGES: dict[str, Callable[[str, int], Package]] = {
    "ours": Ours,
    "official": Official,
    "official, bfloat16": Official,
    "transformers": Transformers,
    "ours, fast": OursFast,
    BEFORE: Ours,
}
