"""Protocols do what the paper says: who is prompted where, by what, and which frames count."""

import sys

import numpy as np
import pytest

from sam2_engine import ImagePredictor, InputError, VideoSession
from sam2_engine.evaluation import LabeledSequence, evaluate, mask_iou, runner
from sam2_engine.evaluation.image_protocol import segment_images
from sam2_engine.evaluation.interactive_protocol import offline_rounds, online_rounds, scored_frames
from sam2_engine.evaluation.labeled_sequence import MasksByObject, pack_labels
from sam2_engine.evaluation.simulated_user import error_click, tight_box
from sam2_engine.evaluation.video_protocol import first_frames, frames_after, label_image, track_objects
from sam2_engine.frames import open_frames
from sam2_engine.masks import mask_center
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tiled_session import TiledVideoSession


def test_frames_that_count(sequence):
    starts = first_frames(sequence)
    assert starts == {2: 0, 5: 2}
    assert frames_after(sequence, starts) == {2: [1, 2, 3, 4, 5], 5: [3, 4, 5]}
    assert frames_after(sequence, starts, skip_last=False)[5] == [3, 4, 5, 6]
    assert frames_after(sequence, {5: 3}, bidirectional=True, skip_last=False) == {5: [0, 1, 2, 4, 5, 6]}
    assert scored_frames(sequence, 5) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("prompt", ["mask", "box", "1-click", "3-click"])
def test_tracking_is_the_sessions_own(model, sequence, prompt):
    masks = track_objects(model, sequence, prompt)
    session = VideoSession(model, sequence.frames)
    for object_id, frame in {2: 0, 5: 2}.items():
        ground_truth = sequence.mask(object_id, frame)
        if prompt == "mask":
            session.add_mask(frame, object_id, ground_truth)
        elif prompt == "box":
            y, x = np.nonzero(ground_truth)
            session.add_box(frame, object_id, (x.min(), y.min(), x.max(), y.max()))
        else:
            predicted = np.zeros_like(ground_truth)
            for _ in range(int(prompt[0])):
                point, label = error_click(predicted, ground_truth)
                predicted = session.add_points(frame, object_id, [point], [label]).masks[0]
    for result in session.propagate():
        labels = label_image(result)
        for object_id in result.object_ids:
            packed = masks.get(object_id, {}).get(result.frame)
            predicted = np.zeros(result.shape, bool) if packed is None else packed.to_array()
            np.testing.assert_array_equal(predicted, labels == object_id)


def test_bidirectional_from_the_middle(model, sequence):
    masks = track_objects(model, sequence, "mask", starts={2: 3}, bidirectional=True)
    session = VideoSession(model, sequence.frames)
    session.add_mask(3, 2, sequence.mask(2, 3))
    assert [result.frame for result in session.propagate()] == [3, 4, 5, 6]
    backwards = {result.frame: result.masks[0] for result in session.propagate(reverse=True)}
    for frame in (0, 1, 2):
        predicted = masks[2][frame].to_array() if frame in masks[2] else np.zeros_like(backwards[frame])
        np.testing.assert_array_equal(predicted, backwards[frame])


def test_where_masks_overlap_the_higher_logit_wins(model, sequence):
    session = VideoSession(model, sequence.frames)
    session.add_mask(0, 1, sequence.mask(2, 0))
    session.add_mask(0, 2, np.roll(sequence.mask(2, 0), 4, 1))
    result = list(session.propagate(stop=1))[1]
    labels = label_image(result)
    expected = np.where(result.logits.max(0) > 0, result.logits.argmax(0) + 1, 0)
    np.testing.assert_array_equal(labels, expected)


def test_offline_goes_on_with_the_worst_frame_not_prompted_yet(model, sequence):
    rounds = list(offline_rounds(model, sequence, 2, max_frames=3))
    assert [sorted(done.masks) for done in rounds] == [list(range(7))] * 3
    clicks = [done.clicks for done in rounds]
    assert clicks[0] <= 3
    assert clicks == sorted(clicks)
    seconds = np.diff([0.0, *(done.seconds for done in rounds)])
    np.testing.assert_allclose(seconds, 0.1 * 7 + 1 + 1.5 * np.diff([0, *clicks]))
    # Again by hand, for the second round: the frame of the lowest IoU.
    ious = {f: mask_iou(rounds[0].masks[f].to_array(), sequence.mask(2, f)) for f in range(1, 7)}
    worst = min(ious, key=ious.get)
    session = VideoSession(model, sequence.frames, history=2**28)
    for frame, mask in ((0, np.zeros((64, 80), bool)), (worst, rounds[0].masks[worst].to_array())):
        for _ in range(3):
            click = error_click(mask, sequence.mask(2, frame))
            if click is not None:
                mask = session.add_points(frame, 2, [click[0]], [click[1]]).masks[0]
        results = {result.frame: result.masks[0] for result in session.propagate(start=0)}
    for frame, mask in results.items():
        np.testing.assert_array_equal(rounds[1].masks[frame].to_array(), mask)


def test_online_corrects_the_first_bad_frame_and_leaves_those_before_it(model, sequence):
    first, second = list(online_rounds(model, sequence, 2, max_frames=2))
    ious = {f: mask_iou(first.masks[f].to_array(), sequence.mask(2, f)) for f in range(1, 7)}
    bad = min(frame for frame, iou in ious.items() if iou < 0.75)
    for frame in range(bad):
        np.testing.assert_array_equal(first.masks[frame].to_array(), second.masks[frame].to_array())
    assert second.clicks > first.clicks
    assert second.seconds == pytest.approx(first.seconds + 1 + 1.5 * (second.clicks - first.clicks))


def test_on_images_the_model_chooses_and_corrections_feed_its_mask_back(model, sequence):
    masks = segment_images(model, sequence, "1-click")
    assert sorted(masks[5]) == [2, 3, 5, 6]
    predictor = ImagePredictor(model)
    predictor.set_image(sequence.frames[3])
    ground_truth = sequence.mask(5, 3)
    predicted, ious, logits = predictor.predict([mask_center(ground_truth)[0]], [1])
    best = int(ious.argmax())
    clicked = masks[5][3].to_array()
    assert clicked.any()
    assert not (clicked & ~predicted[best]).any(), (
        "an image's mask is the predictor's without its small components"
    )
    point, label = error_click(predicted[best], ground_truth)
    again, _, _ = predictor.predict(
        [mask_center(ground_truth)[0], point],
        [1, label],
        mask_input=logits[best][None],
        multimask_output=False,
    )
    many = segment_images(model, sequence, "3-click")[5][3].to_array()
    third = error_click(again[0], ground_truth)
    assert third is not None
    assert many.shape == again[0].shape
    assert (many != predicted[best]).any() or mask_iou(many, ground_truth) == mask_iou(
        predicted[best], ground_truth
    )


@pytest.fixture
def large_sequence(model, disc_frames, disc_labels):
    """The discs of three frames, enlarged to twice the model's input."""
    times = -(-2 * model.image_size // max(disc_labels.shape[1:]))
    ground_truth: MasksByObject = {}
    for frame, image in enumerate(disc_labels[:3]):
        pack_labels(image.repeat(times, 0).repeat(times, 1), frame, ground_truth)
    frames = open_frames(disc_frames[:3].repeat(times, 1).repeat(times, 2), axes="TYX")
    return LabeledSequence("large discs", frames, ground_truth, (0, 1, 2))


def test_a_large_plane_is_evaluated_in_tiles(model, large_sequence):
    session = open_video_session(model, open_frames(large_sequence.frames[2][None], axes="TYX"))
    assert isinstance(session, TiledVideoSession)
    ground_truth = large_sequence.mask(5, 2)
    clicked = session.add_points(0, 9, [mask_center(ground_truth)[0]], [1])
    predicted = segment_images(model, large_sequence, "1-click")
    np.testing.assert_array_equal(predicted[5][2].to_array(), clicked.masks[0])
    boxed = segment_images(model, large_sequence, "box")[5][2].to_array()
    box = tight_box(ground_truth)
    np.testing.assert_array_equal(boxed, session.add_box(0, 10, box, replace=True).masks[0])
    session = TiledVideoSession(model, large_sequence.frames)
    session.add_mask(0, 2, large_sequence.mask(2, 0))
    masks = track_objects(model, large_sequence, starts={2: 0})
    for result in session.propagate():
        np.testing.assert_array_equal(label_image(result) == 2, masks[2][result.frame].to_array())


@pytest.mark.parametrize(
    ("protocol", "methods"),
    [
        ("vos", ["toy, mask", "copy of the first mask", "optical flow (DIS)"]),
        ("online", ["toy, online"]),
        ("image", ["toy, 1-click", "flood fill, 1-click", "watershed, 1-click", "random walker, 1-click"]),
    ],
)
def test_evaluate_puts_the_model_first_and_baselines_beside(model, sequence, protocol, methods):
    results = evaluate(model, [sequence], protocol, name="toy", baselines=protocol != "online")
    assert [result.method for result in results] == methods
    for result in results:
        assert 0 <= result.j <= 1
        assert 0 <= result.f <= 1
    assert len(results[0].rounds) == (8 if protocol == "online" else 1)


def test_what_baselines_need_is_asked_for_before_the_model_works(model, sequence, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(runner, "track_objects", lambda *_, **__: pytest.fail("the model was asked first"))
    with pytest.raises(InputError, match=r"sam2-plugins\[evaluate\]"):
        evaluate(model, [sequence], baselines=True)


@pytest.mark.parametrize(
    ("protocol", "prompt", "sentence"),
    [
        ("movies", None, "no protocol 'movies'"),
        ("vos", "2-click", "no prompt '2-click'"),
        ("image", "mask", "take prompt='box' or clicks"),
        ("offline", "box", "leave prompt out"),
    ],
)
def test_what_does_not_go_together_is_an_input_error(model, sequence, protocol, prompt, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluate(model, [sequence], protocol, prompt)
