"""The session's promises, among them the defects of the official predictor that must not exist here."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.video_session import VideoSession

Frames = NDArray[np.uint8]
RED = (30, 35)
GREEN = (95, 60)


def logits_by_frame(results: Iterator[FrameResult], object_id: int = 1) -> dict[int, NDArray[np.float32]]:
    return {
        r.frame: r.low_res_logits[r.object_ids.index(object_id)] for r in results if object_id in r.object_ids
    }


def test_a_click_gives_the_image_predictors_mask(small_model: Sam2, moving_discs: Frames) -> None:
    session = VideoSession(small_model, moving_discs)
    result = session.add_points(3, 1, RED)
    predictor = ImagePredictor(small_model)
    predictor.set_image(moving_discs[3])
    _, ious, logits = predictor.predict(np.array([RED]), np.array([1]))
    np.testing.assert_array_equal(result.low_res_logits[0].clip(-32, 32), logits[ious.argmax()])
    assert result.masks.shape == (1, 96, 120)
    np.testing.assert_array_equal(result.masks[0], result.logits[0] > 0)


def test_a_model_without_multimask_output_gives_its_single_mask(
    small_model: Sam2, moving_discs: Frames
) -> None:
    config = replace(small_model.config, multimask_output_in_sam=False, dynamic_multimask_via_stability=False)
    model = Sam2(config).eval().requires_grad_(False)
    model.load_state_dict(small_model.state_dict())
    session = VideoSession(model, moving_discs)
    clicked = session.add_points(3, 1, RED).low_res_logits[0]
    predictor = ImagePredictor(model)
    predictor.set_image(moving_discs[3])
    _, _, logits = predictor.predict(np.array([RED]), np.array([1]), multimask_output=False)
    np.testing.assert_array_equal(clicked.clip(-32, 32), logits[0])

    # Tracked frames show no other mask either, whatever the three candidates are.
    tracked = logits_by_frame(session.propagate(stop=5))
    for hypernetwork in list(model.sam_mask_decoder.output_hypernetworks_mlps)[1:]:
        hypernetwork.apply(lambda layer: layer.bias.fill_(9.0) if hasattr(layer, "bias") else None)
    other = VideoSession(model, moving_discs)
    other.add_points(3, 1, RED)
    for frame, logits in logits_by_frame(other.propagate(stop=5)).items():
        np.testing.assert_array_equal(logits, tracked[frame])


def test_a_correction_on_a_tracked_frame_sticks_and_carries_on(
    small_model: Sam2, moving_discs: Frames
) -> None:
    session = VideoSession(small_model, moving_discs, history=2**30)
    session.add_points(0, 1, RED)
    before = logits_by_frame(session.propagate())
    corrected = session.add_points(5, 1, [[60, 50], [10, 90]], [1, 0]).low_res_logits[0]
    after = logits_by_frame(session.propagate())
    np.testing.assert_array_equal(after[5], corrected)
    assert np.abs(after[5] - before[5]).max() > 0
    assert all(np.abs(after[f] - before[f]).max() > 0 for f in range(6, 20))


def test_an_object_added_late_has_no_mask_before_its_first_prompt(
    small_model: Sam2, moving_discs: Frames
) -> None:
    session = VideoSession(small_model, moving_discs)
    session.add_points(0, 1, RED)
    session.add_points(7, 2, GREEN)
    listed = {r.frame: r.object_ids for r in session.propagate()}
    assert listed == {f: (1,) if f < 7 else (1, 2) for f in range(20)}
    backwards = {r.frame: r.object_ids for r in session.propagate(reverse=True)}
    assert backwards == {f: (2,) if f > 0 else (1, 2) for f in range(8)}


def test_results_do_not_depend_on_the_videos_length(small_model: Sam2, moving_discs: Frames) -> None:
    runs = []
    for frames in (moving_discs[:6], moving_discs[:12]):
        session = VideoSession(small_model, frames)
        session.add_points(0, 1, RED)
        runs.append(logits_by_frame(session.propagate(stop=5)))
    for frame in range(6):
        np.testing.assert_array_equal(runs[0][frame], runs[1][frame])


def test_objects_do_not_influence_each_other(small_model: Sam2, moving_discs: Frames) -> None:
    alone = VideoSession(small_model, moving_discs)
    alone.add_points(0, 1, RED)
    together = VideoSession(small_model, moving_discs)
    together.add_points(0, 2, GREEN)
    together.add_points(0, 1, RED)
    single, joint = logits_by_frame(alone.propagate()), logits_by_frame(together.propagate())
    for frame, logits in single.items():
        np.testing.assert_allclose(joint[frame], logits, atol=2e-4 * np.abs(logits).max())


def test_only_what_propagation_reads_again_is_stored(small_model: Sam2, moving_discs: Frames) -> None:
    sizes = []
    for repeats in (2, 6):
        session = VideoSession(small_model, np.tile(moving_discs, (repeats, 1, 1, 1)))
        session.add_points(0, 1, RED)
        sizes.append([session.num_bytes for _ in session.propagate()])
    assert max(sizes[0]) == max(sizes[1])
    assert sizes[1][-1] == sizes[1][30]


@pytest.mark.parametrize("cap", [2**30, 150_000])
def test_a_correction_in_the_middle_goes_on_as_if_everything_had_been_stored(
    small_model: Sam2, moving_discs: Frames, cap: int
) -> None:
    frames = np.tile(moving_discs, (4, 1, 1, 1))
    everything = VideoSession(small_model, frames, history=2**40)
    everything._stride = 6  # every frame lies in some checkpoint's window
    capped = VideoSession(small_model, frames, history=cap)
    runs = []
    for session in (everything, capped):
        session.add_points(0, 1, RED)
        for _ in session.propagate():
            pass
        corrected = session.add_points(41, 1, [60, 50], [1])
        carried_on = logits_by_frame(session.propagate(start=41, stop=60))
        again = session.add_points(41, 1, [20, 80], [0])
        runs.append({41: corrected.low_res_logits[0], -1: again.low_res_logits[0]} | carried_on)
    assert capped.num_bytes <= cap
    for frame, logits in runs[0].items():
        np.testing.assert_array_equal(runs[1][frame], logits)


def test_closing_the_iterator_or_prompting_meanwhile_loses_nothing(
    small_model: Sam2, moving_discs: Frames
) -> None:
    straight = VideoSession(small_model, moving_discs)
    straight.add_points(0, 1, RED)
    expected = logits_by_frame(straight.propagate())
    session = VideoSession(small_model, moving_discs)
    session.add_points(0, 1, RED)
    running = session.propagate()
    got = {}
    for result in running:
        got[result.frame] = result.low_res_logits[0]
        if result.frame == 9:
            running.close()  # type: ignore[attr-defined]
            break
    resumed = session.propagate(start=10)
    for result in resumed:
        got[result.frame] = result.low_res_logits[0]
        if result.frame == 12:
            session.add_points(12, 2, GREEN)
    assert sorted(got) == list(range(20))
    for frame, logits in got.items():
        np.testing.assert_allclose(logits, expected[frame], atol=2e-4 * np.abs(expected[frame]).max())


def test_a_range_backwards_and_forwards(small_model: Sam2, moving_discs: Frames) -> None:
    session = VideoSession(small_model, moving_discs)
    session.add_box(10, 1, (60, 40, 80, 70))
    assert [r.frame for r in session.propagate(start=11, stop=14)] == [11, 12, 13, 14]
    assert [r.frame for r in session.propagate(stop=4, reverse=True)] == list(range(10, 3, -1))


def test_a_mask_is_taken_as_it_is(small_model: Sam2, moving_discs: Frames) -> None:
    mask = np.zeros((96, 120), bool)
    mask[20:60, 30:90] = True
    result = VideoSession(small_model, moving_discs).add_mask(0, 1, mask)
    overlap = (result.masks[0] & mask).sum() / (result.masks[0] | mask).sum()
    assert overlap > 0.95
    assert result.predicted_iou.tolist() == [1.0]
    assert result.presence[0] > 0.99


def test_an_absent_object_stays_listed_with_an_empty_mask(small_model: Sam2, moving_discs: Frames) -> None:
    session = VideoSession(small_model, moving_discs)
    result = session.add_mask(0, 1, np.zeros((96, 120), bool))
    assert result.object_ids == (1,)
    assert result.presence[0] < 0.01
    assert not result.masks.any()


def test_removing_prompts_and_objects(small_model: Sam2, moving_discs: Frames) -> None:
    session = VideoSession(small_model, moving_discs)
    session.add_points(0, 1, RED)
    first = session.add_points(4, 2, GREEN).low_res_logits
    session.add_points(6, 2, GREEN)
    session.clear_prompts(2, frame=6)
    session.remove_object(1)
    assert session.object_ids == (2,)
    np.testing.assert_array_equal(next(session.propagate()).low_res_logits, first)
    session.clear_prompts(2)
    assert session.object_ids == ()
    with pytest.raises(InputError, match="nothing to track"):
        session.propagate()


def test_more_clicks_refine_and_replace_starts_over(small_model: Sam2, moving_discs: Frames) -> None:
    session = VideoSession(small_model, moving_discs)
    first = session.add_points(0, 1, RED).low_res_logits
    second = session.add_points(0, 1, [10, 10], [0]).low_res_logits
    assert np.abs(first - second).max() > 0
    session.clear_prompts(1)
    np.testing.assert_array_equal(session.add_points(0, 1, RED).low_res_logits, first)


def test_a_region_works_on_its_part_of_the_plane(small_model: Sam2, moving_discs: Frames) -> None:
    region = (20, 16, 100, 80)
    whole = VideoSession(small_model, moving_discs, region=region)
    cropped = VideoSession(small_model, np.ascontiguousarray(moving_discs[:, 16:80, 20:100]))
    whole.add_points(0, 1, RED)
    cropped.add_points(0, 1, (RED[0] - 20, RED[1] - 16))
    for ours, reference in zip(whole.propagate(stop=3), cropped.propagate(stop=3), strict=True):
        np.testing.assert_array_equal(ours.masks[:, 16:80, 20:100], reference.masks)
        outside = ours.masks.copy()
        outside[:, 16:80, 20:100] = False
        assert not outside.any()


def test_a_live_stream_is_tracked_frame_by_frame(small_model: Sam2, moving_discs: Frames) -> None:
    whole = VideoSession(small_model, moving_discs)
    whole.add_points(0, 1, RED)
    expected = logits_by_frame(whole.propagate())
    live = VideoSession(small_model, (frame for frame in moving_discs))
    live.add_points(0, 1, RED)
    got = logits_by_frame(live.propagate())
    assert sorted(got) == sorted(expected)
    for frame, logits in got.items():
        np.testing.assert_array_equal(logits, expected[frame])


def test_a_limit_of_conditioning_frames_bounds_what_a_frame_reads(
    small_model: Sam2, moving_discs: Frames
) -> None:
    session = VideoSession(small_model, moving_discs, max_conditioning_frames=2)
    for frame in range(0, 20, 3):
        session.add_points(frame, 1, RED)
    for _ in session.propagate():
        pass
    reading = session._objects[1].bank.read(10, reverse=False)
    assert sum(memory.slot == 0 for memory in reading.memories) == 2


def test_boxes_of_one_row_column_and_pixel_are_tracked(small_model: Sam2, moving_discs: Frames) -> None:
    session = VideoSession(small_model, moving_discs[:3])
    for object_id, box in enumerate([(20, 40, 40, 40), (30, 20, 30, 40), (7, 9, 7, 9)], start=1):
        session.add_box(0, object_id, box)
    assert [result.frame for result in session.propagate()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.add_points(0, 1, [200, 5]), "outside the frame"),
        (lambda s: s.add_points(0, 1, [5, 5], [2]), "label is 1"),
        (lambda s: s.add_points(0, 1, [[5, 5], [6, 6]], [1]), "one label per point"),
        (lambda s: s.add_points(20, 1, RED), "no frame 20"),
        (lambda s: s.add_points(-1, 1, RED), "no frame -1"),
        (lambda s: s.add_points(0, 0, RED), "positive whole number"),
        (lambda s: s.add_box(0, 1, [5, 5, 4, 9]), "less than one pixel"),
        (lambda s: s.add_mask(0, 1, np.zeros((5, 5))), "has shape"),
        (lambda s: s.add_points(0, 1, [float("nan"), 5]), "finite"),
        (lambda s: s.remove_object(9), "no object 9"),
        (lambda s: s.clear_prompts(9), "no object 9"),
        (lambda s: s.propagate(), "nothing to track"),
        (lambda s: s.propagate(object_ids=[4]), "no object 4"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(
    small_model: Sam2, moving_discs: Frames, call: object, words: str
) -> None:
    session = VideoSession(small_model, moving_discs)
    with pytest.raises(InputError, match=words):
        call(session)  # type: ignore[operator]
    assert session.object_ids == ()
