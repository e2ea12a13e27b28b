"""Every public class is pickled, copied, and told in one line; what cannot be says why."""

import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

import sam2_engine
from sam2_engine import (
    AutomaticMaskGenerator,
    FeatureCache,
    FrameResult,
    FrameSource,
    ImagePredictor,
    InputError,
    InputWarning,
    IntensityWindow,
    ModelConfig,
    VideoSession,
    open_frames,
)
from sam2_engine.masks import CompressedMask, PackedMask
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2_engine.official_api.sam2_image_predictor import SAM2ImagePredictor
from sam2_engine.official_api.sam2_video_predictor import SAM2VideoPredictor
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.tiled_session import TiledVideoSession

Frames = NDArray[np.uint8]


def predictor(model: Sam2, frames: Frames) -> ImagePredictor:
    made = ImagePredictor(model)
    made.set_image(frames[0])
    return made


def official_predictor(model: Sam2, frames: Frames) -> SAM2ImagePredictor:
    made = SAM2ImagePredictor(model)
    made.set_image(frames[0])
    return made


def prompted(session: Any) -> Any:
    session.add_points(0, 1, (30, 35))
    return session


def result(model: Sam2, frames: Frames) -> FrameResult:
    return VideoSession(model, frames).add_points(0, 2, (30, 35))


Make = Callable[[Sam2, Frames], object]
MAKERS: dict[type, tuple[Make, str]] = {
    AutomaticMaskGenerator: (
        lambda model, _: AutomaticMaskGenerator(model, points_per_side=4),
        "<AutomaticMaskGenerator small-test@128 on cpu, 4 x 4 clicks>",
    ),
    FeatureCache: (
        lambda *_: FeatureCache(10**6),
        "<FeatureCache: 0 encoded frames in memory, 0 bytes of 1 MB>",
    ),
    FrameResult: (result, "<FrameResult frame 0: 1 object (2), 96 x 120>"),
    FrameSource: (
        lambda _, frames: open_frames(frames),
        "<ArrayFrames the array: T=20 Y=96 X=120, RGB, uint8>",
    ),
    ImagePredictor: (predictor, "<ImagePredictor small-test@128 on cpu, image 96 x 120>"),
    InputError: (lambda *_: InputError("It is so."), "InputError('It is so.')"),
    InputWarning: (lambda *_: InputWarning("It is so."), "InputWarning('It is so.')"),
    IntensityWindow: (
        lambda *_: IntensityWindow.of((100, 4000)),
        "IntensityWindow(low=(100.0,), high=(4000.0,), fill=())",
    ),
    ModelConfig: (lambda model, _: model.config, "ModelConfig(name='small-test', embed_dim=16, "),
    VideoSession: (
        lambda model, frames: prompted(VideoSession(model, frames)),
        "<VideoSession The array: T=20 Y=96 X=120, 1 object, small-test@128 on cpu>",
    ),
}
"""An object of each public class, and how its one line begins."""
FURTHER: dict[type, tuple[Make, str]] = {
    Sam2: (lambda model, _: model, "<Sam2 small-test@128 on cpu, 1.4 M weights, computes in float32>"),
    ImageSession: (
        lambda model, frames: prompted(ImageSession(model, open_frames(frames[:1]))),
        "<ImageSession The array: T=1 Y=96 X=120, 1 object, small-test@128 on cpu>",
    ),
    TiledVideoSession: (
        lambda model, frames: prompted(TiledVideoSession(model, open_frames(frames))),
        "<TiledVideoSession The array: T=20 Y=96 X=120, 1 object, small-test@128 on cpu>",
    ),
    PackedMask: (
        lambda _, frames: PackedMask.from_array(frames[0, ..., 0] > 200),
        "<PackedMask 96 x 120: rows ",
    ),
    CompressedMask: (
        lambda *_: CompressedMask.from_array(np.zeros((96, 120), bool)),
        "<CompressedMask 96 x 120: empty>",
    ),
    SAM2ImagePredictor: (
        official_predictor,
        "<SAM2ImagePredictor small-test@128 on cpu, image 96 x 120>",
    ),
    SAM2VideoPredictor: (
        lambda model, _: SAM2VideoPredictor(model),
        "<SAM2VideoPredictor small-test@128 on cpu, 1.4 M weights, computes in float32>",
    ),
    SAM2AutomaticMaskGenerator: (
        lambda model, _: SAM2AutomaticMaskGenerator(model, points_per_side=4),
        "<SAM2AutomaticMaskGenerator small-test@128 on cpu, 4 x 4 clicks>",
    ),
}


def test_every_public_class_is_walked() -> None:
    public = [getattr(sam2_engine, name) for name in sam2_engine.__all__]
    assert {one for one in public if inspect.isclass(one)} == set(MAKERS)


@pytest.mark.parametrize("kind", [*MAKERS, *FURTHER], ids=lambda kind: kind.__name__)
def test_it_is_told_in_a_line_and_comes_back_from_a_pickle_and_a_copy(
    kind: type, small_model: Sam2, moving_discs: Frames
) -> None:
    make, line = (MAKERS | FURTHER)[kind]
    original = make(small_model, moving_discs)
    for one in (original, pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert isinstance(one, kind)
        assert repr(one).startswith(line)
        assert "\n" not in repr(one)


def test_print_shows_the_modules_of_a_model(small_model: Sam2) -> None:
    assert "(image_encoder): ImageEncoder(" in str(small_model)


# ---------------------------------------------------------------------- what copies do


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_copied_session_goes_on_by_itself(
    copied: Callable[[Any], Any], tiled: bool, small_model: Sam2, moving_discs: Frames
) -> None:
    frames = open_frames(moving_discs[:6])
    kind: Any = TiledVideoSession if tiled else VideoSession
    session = prompted(kind(small_model, frames))
    tracked = list(session.propagate(stop=2))
    other = copied(session)
    other.add_points(1, 7, (90, 60))
    other.remove_object(1)
    assert (session.object_ids, other.object_ids) == ((1,), (7,))
    for before, again in zip(tracked, session.propagate(stop=2), strict=True):
        np.testing.assert_array_equal(before.masks, again.masks)
    assert [result.object_ids for result in other.propagate()] == [(7,)] * 5


def test_a_copied_predictor_has_the_image_and_leaves_the_other(
    small_model: Sam2, moving_discs: Frames
) -> None:
    original = predictor(small_model, moving_discs)
    expected = original.predict([(30, 35)])[2]
    other = copy.deepcopy(original)
    original.set_image(moving_discs[9])
    np.testing.assert_array_equal(other.predict([(30, 35)])[2], expected)
    assert other.model is small_model


def files(folder: Path, frames: Frames) -> list[Path]:
    tifffile.imwrite(folder / "stack.tif", frames, metadata={"axes": "TYXS"})
    np.save(folder / "stack.npy", frames)
    Image.fromarray(frames[0]).save(folder / "image.png")
    (folder / "folder").mkdir()
    for number, frame in enumerate(frames[:3]):
        Image.fromarray(frame).save(folder / "folder" / f"{number}.png")
    return [folder / name for name in ("stack.tif", "stack.npy", "image.png", "folder")]


def test_frames_of_files_are_opened_again(
    moving_discs: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in files(tmp_path, moving_discs):
        monkeypatch.chdir(tmp_path)
        with open_frames(path.name, channel=1) as source:
            pickled, expected = pickle.dumps(source), source[0]
        monkeypatch.chdir("/")
        with pickle.loads(pickled) as again:
            assert len(pickled) < 1000
            np.testing.assert_array_equal(again[0], expected)


def test_a_live_stream_is_shared_by_copies_and_never_pickled(small_model: Sam2, moving_discs: Frames) -> None:
    session = prompted(VideoSession(small_model, iter(moving_discs[:4])))
    other = copy.deepcopy(session)
    assert other.frames is session.frames
    assert len(list(other.propagate())) == 4
    with pytest.raises(
        InputError, match="live stream cannot be copied or pickled, as its frames come only once"
    ):
        pickle.dumps(session)


# ---------------------------------------------------------------------- what is given


def test_a_path_an_array_and_an_image_are_answered_alike(
    small_model: Sam2, moving_discs: Frames, tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(moving_discs[0]).save(path)
    one = ImagePredictor(small_model)
    answers = []
    for image in (moving_discs[0], Image.open(path), path, str(path)):
        one.set_image(image)
        answers.append(one.predict([(30, 35)])[2])
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    generator = AutomaticMaskGenerator(small_model, points_per_side=2)
    assert len(generator.generate(str(path))) == len(generator.generate(moving_discs[0]))


def test_a_file_of_several_images_is_no_image(
    small_model: Sam2, moving_discs: Frames, tmp_path: Path
) -> None:
    np.save(tmp_path / "stack.npy", moving_discs)
    with pytest.raises(InputError, match=r"stack.npy holds T=20 Y=96 X=120, not one image"):
        ImagePredictor(small_model).set_image(tmp_path / "stack.npy")


def test_prompts_are_given_by_name(small_model: Sam2, moving_discs: Frames) -> None:
    mask = moving_discs[0, ..., 0] > 200
    session = VideoSession(small_model, moving_discs)
    for one, other in (
        (session.add_prompt(0, 1, points=[(30, 35)]), session.add_points(0, 2, [(30, 35)])),
        (
            session.add_prompt(frame=1, object_id=1, box=(18, 22, 43, 48)),
            session.add_box(1, 2, (18, 22, 43, 48)),
        ),
        (session.add_prompt(2, 1, mask=mask), session.add_mask(2, 2, mask)),
    ):
        np.testing.assert_allclose(one.low_res_logits, other.low_res_logits, atol=1e-3)
    with pytest.raises(InputError, match="comes one Prompt, or a name for what is given: points="):
        session.add_prompt(0, 1, [(30, 35)])  # type: ignore[arg-type]


def test_a_session_takes_what_messages_about_its_frames_ask_for(small_model: Sam2) -> None:
    stack = np.zeros((3, 2, 40, 60), np.uint8)
    with pytest.raises(InputError, match="for example with axes='TCYX'"):
        VideoSession(small_model, stack)
    assert VideoSession(small_model, stack, axes="TCYX", channel=1).frames.description.endswith("C=1 of 2")
    with pytest.raises(InputError, match=r"fixed=\{'Z': 0\}"):
        VideoSession(small_model, stack, axes="TZYX")
    session = VideoSession(small_model, stack, axes="TZYX", fixed={"T": 0})
    assert session.frames.sizes == "Z=2 Y=40 X=60"
    with pytest.raises(InputError, match="is open already: give axes, channel or fixed to the call"):
        VideoSession(small_model, session.frames, axes="ZYX")


def test_an_unknown_argument_is_told_with_the_nearest(small_model: Sam2, moving_discs: Frames) -> None:
    with pytest.raises(
        TypeError, match=r"VideoSession\(\) has no argument 'chanel' \(did you mean 'channel'\?\)"
    ):
        VideoSession(small_model, moving_discs, chanel=0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'points' \(did you mean 'point_coords'\?\)"):
        predictor(small_model, moving_discs).predict(points=[(3, 4)])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'point_per_side' \(did you mean 'points_per_side'\?\)"):
        AutomaticMaskGenerator(small_model, point_per_side=3)  # type: ignore[call-arg]


def test_a_model_may_be_given_by_its_name_or_file(small_checkpoint: Path, moving_discs: Frames) -> None:
    assert ImagePredictor(small_checkpoint).model.config.name == "small"
    assert VideoSession(str(small_checkpoint), moving_discs).model.config.name == "small"
    assert AutomaticMaskGenerator(small_checkpoint).model.config.name == "small"  # type: ignore[arg-type]
    with pytest.raises(InputError, match="There is no model 'nan0' \\(did you mean 'nano'"):
        ImagePredictor("nan0")
    with pytest.raises(InputError, match=r"not a NoneType: give load_model\('nano'\)"):
        ImagePredictor(None)  # type: ignore[arg-type]


def test_what_is_exchanged_or_single_is_understood(small_model: Sam2, moving_discs: Frames) -> None:
    with pytest.raises(InputError, match="The model comes first"):
        VideoSession(moving_discs, small_model)  # type: ignore[arg-type]
    for kind in (VideoSession, TiledVideoSession):
        session = prompted(kind(small_model, open_frames(moving_discs[:3])))
        assert [result.object_ids for result in session.propagate(object_ids=1)] == [(1,)] * 3


@pytest.mark.parametrize("move", [lambda model: model.to("cuda"), lambda model: model.cuda()])
def test_a_device_that_is_not_here_is_told_with_those_that_are(
    move: Callable[[Sam2], Sam2], small_model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "empty", refuse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="There is no device 'cuda' here: give auto or cpu"):
        move(small_model)


def test_the_state_of_an_official_video_is_pickled_and_copied(
    small_model: Sam2, moving_discs: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, frame in enumerate(moving_discs[:4]):
        Image.fromarray(frame).save(tmp_path / f"{number}.jpg")
    video = SAM2VideoPredictor(small_model)
    monkeypatch.chdir(tmp_path.parent)
    state = video.init_state(tmp_path.name)
    video.add_new_points_or_box(state, 0, 1, points=[[30, 35]], labels=[1])
    assert repr(state["images"]) == "<VideoFrames 4 x 3 x 128 x 128 on cpu>"
    monkeypatch.chdir("/")
    others = [pickle.loads(pickle.dumps(state)), copy.deepcopy(state)]
    expected = [masks for _, _, masks in video.propagate_in_video(state)]
    for other in others:
        tracked = [masks for _, _, masks in video.propagate_in_video(other)]
        assert all(map(torch.equal, tracked, expected))
    with pytest.raises(TypeError, match=r"no argument 'point' \(did you mean 'points'\?\)"):
        video.add_new_points_or_box(state, 0, 1, point=[[30, 35]])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("frame", "object_id", "prompt", "message"),
    [
        (1, 0, {"points": (30, 35)}, "did you mean frame=0, object_id=1"),
        (40, 3, {"points": (30, 35)}, "did you mean frame=3, object_id=40"),
        (0, 1, {"points": (35, 100)}, r"points are \(x, y\): did you mean \(100, 35\)\?"),
        (
            0,
            1,
            {"box": (40, 30, 20, 10)},
            r"did you mean \(20, 10, 40, 30\) or of x, y, width, height \(40, 30, 59, 39\)",
        ),
        (0, 1, {"box": (10, 100, 40, 115)}, r"did you mean of y0, x0, y1, x1 \(100, 10, 115, 40\)\?"),
        (0, 1, {"mask": np.ones((120, 96), bool)}, "it is transposed: give mask.T"),
        (0, 1, {"mask": np.ones((1, 96, 120), bool)}, r"give mask\[0\]"),
    ],
)
def test_a_wrong_order_is_found_by_its_values(
    frame: int, object_id: int, prompt: dict[str, Any], message: str, small_model: Sam2, moving_discs: Frames
) -> None:
    with pytest.raises(InputError, match=message):
        VideoSession(small_model, moving_discs).add_prompt(frame, object_id, **prompt)
