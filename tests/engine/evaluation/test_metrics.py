"""J and F against DAVIS's definitions, written out pixel by pixel; SEG, DET, TRA on tracks known by hand."""

import math

import numpy as np
import pytest
from skimage import data, measure
from skimage.morphology import dilation, disk

from sam2_engine.evaluation import LabeledSequence, boundary_f, mask_iou
from sam2_engine.evaluation.cell_tracking import cell_tracking_scores
from sam2_engine.evaluation.labeled_sequence import MasksByObject, pack_labels
from sam2_engine.evaluation.scores import MaskScore, MethodResult
from sam2_engine.frames import open_frames


def outline(mask):
    """Mark pixels unlike their right, lower or lower right neighbor; beyond the image nothing is unlike."""
    height, width = mask.shape
    marked = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            neighbors = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if y == height - 1:
                neighbors = [(y, x + 1)]
            if x == width - 1:
                neighbors = [(y + 1, x)]
            marked[y, x] = any(mask[v, u] != mask[y, x] for v, u in neighbors if v < height and u < width)
    return marked


def naive_f(mask, ground_truth):
    """Match outlines by growing each with a disk (DAVIS), on the whole plane."""
    grow = disk(math.ceil(0.008 * np.linalg.norm(mask.shape)))
    predicted, expected = outline(mask), outline(ground_truth)
    matched = predicted & dilation(expected, grow)
    recalled = expected & dilation(predicted, grow)
    if not predicted.any() and not expected.any():
        return 1.0
    precision = matched.sum() / predicted.sum() if predicted.any() else 1.0
    recall = recalled.sum() / expected.sum() if expected.any() else 1.0
    if not predicted.any() or not expected.any():
        precision, recall = (1.0, 0.0) if expected.any() else (0.0, 1.0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def cases():
    rng = np.random.default_rng(5)
    for shape in ((30, 40), (61, 57)):
        for share in (0.02, 0.5, 0.95):
            yield rng.random(shape) < share, rng.random(shape) < share
    coins = measure.label(data.coins()[:160, :200] > 110)
    large = coins == np.bincount(coins[coins > 0]).argmax()
    yield large, np.roll(large, (1, 2), (0, 1))
    yield large, np.roll(large, (5, -7), (0, 1))
    yield large, coins > 0
    empty, full = np.zeros((40, 50), bool), np.ones((40, 50), bool)
    block = empty.copy()
    block[10:20, 45:] = True
    yield from ((empty, empty), (empty, block), (block, empty), (full, empty), (full, block), (block, block))


@pytest.mark.parametrize(("mask", "ground_truth"), list(cases()))
def test_j_and_f_are_those_of_davis(mask, ground_truth):
    union = (mask | ground_truth).sum()
    assert mask_iou(mask, ground_truth) == pytest.approx(
        (mask & ground_truth).sum() / union if union else 1.0
    )
    assert boundary_f(mask, ground_truth) == pytest.approx(naive_f(mask, ground_truth), abs=1e-12)


def test_f_forgives_what_lies_within_the_tolerance():
    ground_truth = np.zeros((300, 400), bool)  # the diagonal is 500, so boundaries match up to 4 pixels apart
    ground_truth[100:200, 100:200] = True
    assert boundary_f(np.roll(ground_truth, 4, 1), ground_truth) == 1.0
    assert boundary_f(np.roll(ground_truth, 5, 1), ground_truth) < 1.0


def test_means_are_over_frames_then_objects():
    scores = (MaskScore(0, 1, 1, 1.0, 0.5), MaskScore(0, 1, 2, 0.0, 0.5), MaskScore(0, 2, 1, 1.0, 1.0))
    result = MethodResult("a", (scores,), ())
    assert result.j == pytest.approx(0.75)
    assert result.f == pytest.approx(0.75)
    assert result.j_and_f == pytest.approx(0.75)
    assert MethodResult("a", (scores,), (), per_object=False).j == pytest.approx(2 / 3)
    perfect = tuple(MaskScore(0, s.object_id, s.frame, 1.0, 1.0) for s in scores)
    assert MethodResult("a", (scores, perfect), ()).j == pytest.approx((0.75 + 1) / 2)


@pytest.fixture
def tracked():
    """Two squares on four frames; the second is away on frame 2."""
    labels = np.zeros((4, 20, 30), np.uint8)
    labels[:, 2:8, 2:8] = 3
    labels[[0, 1, 3], 10:18, 12:20] = 7
    return labels


def sequence_of(labels):
    ground_truth: MasksByObject = {}
    for frame, image in enumerate(labels):
        pack_labels(image, frame, ground_truth)
    return LabeledSequence(
        "squares", open_frames(labels, axes="TYX"), ground_truth, tuple(range(len(labels)))
    )


def test_cell_tracking_scores_of_the_ground_truth_are_1(tracked):
    pytest.importorskip("ctc_metrics")
    sequence = sequence_of(tracked)
    assert cell_tracking_scores(sequence, sequence.ground_truth, [3, 7]) == {
        "SEG": 1.0,
        "DET": 1.0,
        "TRA": 1.0,
    }
    assert cell_tracking_scores(sequence, {}, [3, 7]) == {"SEG": 0.0, "DET": 0.0, "TRA": 0.0}


def test_cell_tracking_scores_by_hand(tracked):
    pytest.importorskip("ctc_metrics")
    sequence = sequence_of(tracked)
    predicted = {3: dict(sequence.ground_truth[3]), 7: dict(sequence.ground_truth[7])}
    del predicted[3][3]  # one cell missed at its end: weights 10 for the vertex and 1.5 for its edge
    scores = cell_tracking_scores(sequence, predicted, [3, 7])
    vertices, edges = 7, 3 + 2
    assert scores["SEG"] == pytest.approx(6 / 7)
    assert scores["DET"] == pytest.approx(1 - 10 / (10 * vertices))
    assert scores["TRA"] == pytest.approx(1 - 11.5 / (10 * vertices + 1.5 * edges))
