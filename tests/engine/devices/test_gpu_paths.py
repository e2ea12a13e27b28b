"""Every path runs on a GPU, told without one, and asks little of it: few launches, no waiting for it."""

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
import torch
from damaged_frames import DamagedFrames
from fake_device import FakeDevice, fake_device
from numpy.typing import NDArray
from small_model import SMALL

from sam2_engine.errors import InputWarning
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning.interactive_training import (
    InteractiveTrainingStep,
    ObjectsOfClip,
    PromptConfig,
    PromptPlan,
)
from sam2_engine.training.losses import LossWeights
from sam2_engine.video.video_session import VideoSession

LAUNCHES, OBJECTS = 450, 10
"""Of tiny on a tracked frame with so many objects; PyTorch's mixed precision made it 1,327."""

KINDS = [
    ("cuda", torch.bfloat16),
    ("mps", torch.float32),
    pytest.param(("cuda", torch.float16), marks=pytest.mark.slow),
    pytest.param(("cuda", torch.float32), marks=pytest.mark.slow),
    pytest.param(("mps", torch.bfloat16), marks=pytest.mark.slow),
]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def kind(request: pytest.FixtureRequest) -> tuple[str, torch.dtype]:
    chosen: tuple[str, torch.dtype] = request.param
    return chosen


@pytest.fixture
def device(kind: tuple[str, torch.dtype]) -> Iterator[FakeDevice]:
    with fake_device(kind[0]) as device:
        yield device


@pytest.fixture
def small(device: FakeDevice, kind: tuple[str, torch.dtype]) -> Sam2:
    return device.model(SMALL, kind[1])


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (6, 60, 80, 3)).astype(np.uint8)


def test_a_tracked_frame_of_ten_objects_is_few_launches_and_one_stop(frames: NDArray[np.uint8]) -> None:
    with fake_device("cuda") as device:
        session = VideoSession(device.model(VARIANTS["sam2.1_hiera_tiny"], torch.bfloat16), frames[:4])
        for number in range(OBJECTS):
            session.add_points(0, number + 1, [(10 + number, 20)])
        for result in session.propagate():
            if result.frame >= 2:  # by then all weights were cast
                assert device.launches.total() <= LAUNCHES, device.launches.most_common()
                # The second is for two numbers that are there by then: whether another shot begins.
                assert (device.stops.total(), device.stops["fetch of 2"]) == (2, 1), device.stops
                assert not device.weight_casts
                assert device.uploads.total() <= 1, device.uploads
            device.clear()


def test_a_video_with_a_correction(small: Sam2, frames: NDArray[np.uint8]) -> None:
    session = VideoSession(small, frames, history=1 << 24)
    mask = np.zeros(frames.shape[1:3], bool)
    mask[20:30, 20:40] = True
    session.add_points(0, 1, [(20, 20), (30, 30)], [1, 0])
    session.add_box(0, 2, (10, 10, 30, 30))
    with pytest.warns(InputWarning, match="too small"):  # as every answer is empty
        session.add_mask(2, 3, mask)
    assert [len(result.object_ids) for result in session.propagate()] == [2, 2, 3, 3, 3, 3]
    session.add_points(3, 1, [(25, 20)])
    assert [result.frame for result in session.propagate(start=3, reverse=True)] == [3, 2, 1, 0]


def test_an_image_is_prompted_without_waiting_before_the_masks(
    device: FakeDevice, small: Sam2, frames: NDArray[np.uint8]
) -> None:
    predictor = ImagePredictor(small)
    predictor.set_image(frames[0])
    _, _, low_res = predictor.predict([(20, 20)], [1])
    device.clear()
    masks, ious, _ = predictor.predict(
        box=[(10, 10, 30, 30), (20, 20, 60, 50)],
        mask_input=np.stack([low_res[:1]] * 2),
        multimask_output=False,
    )
    assert (masks.shape, ious.shape) == ((2, 1, 60, 80), (2, 1))
    assert all(stop.startswith("fetch") for stop in device.stops), device.stops


@pytest.mark.parametrize("options", [{}, {"crop_n_layers": 1, "use_m2m": True}, {"click_middle": True}])
def test_masks_of_everything(small: Sam2, options: dict[str, object], frames: NDArray[np.uint8]) -> None:
    generator = AutomaticMaskGenerator(small, points_per_side=4, pred_iou_thresh=0, **options)
    assert isinstance(generator.generate(frames[0]), list)


@pytest.mark.parametrize("from_mask", [False, True])
def test_a_step_of_fine_tuning(device: FakeDevice, small: Sam2, from_mask: bool) -> None:
    model = small.train().requires_grad_(True)
    masks = torch.zeros(2, 3, 128, 128, dtype=torch.bool)
    masks[:, :, 20:60, 30:70] = True
    objects = ObjectsOfClip(masks, torch.ones(2, 3, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    plan = PromptPlan((0,), frozenset((0,)), from_mask, frozenset((0, 1)))
    pixels = torch.zeros(1, 3, 128, 128, device=device.name)
    # Without a graph, which a driver would be needed for; the way through the model is that of training.
    with torch.inference_mode(), patch("torch.is_grad_enabled", lambda: True), model.autocast():
        losses = InteractiveTrainingStep(
            model,
            lambda index: model.encode_image(pixels),
            objects,
            plan,
            PromptConfig(),
            LossWeights(),
            generator,
        ).run()
    assert set(losses) == {"mask", "iou", "presence"}
    assert all(map(device.holds, losses.values()))


class _SeenFrames(DamagedFrames):
    """Frames that remember which were asked for."""

    seen: list[int]

    def _read(self, frame: int) -> NDArray[np.uint8]:
        self.seen.append(frame)
        return super()._read(frame)


@pytest.mark.filterwarnings("ignore:Tracking passed over frame 3")
def test_the_next_frame_is_on_its_way_while_this_one_is_computed(frames: NDArray[np.uint8]) -> None:
    source = _SeenFrames(frames, {3})
    source.seen = []
    with fake_device("cuda") as device:
        session = VideoSession(device.model(SMALL, torch.bfloat16), source)
        session.add_points(0, 1, [(20, 20)])
        for result in session.propagate(stop=4):
            assert bool(result.problem) == (result.frame == 3), "what is wrong is said when it is its turn"
            if result.frame in (1, 2):
                assert source.seen[-1] == result.frame + 1
            if result.frame == 2:
                assert source.seen.count(2) == 1, "read once"
    assert source.seen[-1] == 4, "nothing beyond the last one is read"
