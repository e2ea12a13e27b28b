"""Two discs that move over noise, with their ground truth."""

import numpy as np
import pytest

from sam2_engine.evaluation import LabeledSequence
from sam2_engine.evaluation.labeled_sequence import MasksByObject, pack_labels
from sam2_engine.frames import open_frames
from sam2_engine.weights.loading import load_model


@pytest.fixture(scope="session")
def disc_labels():
    """(7, 64, 80) uint8: disc 2 from the start, disc 5 from frame 2 on, away on frame 4."""
    y, x = np.mgrid[:64, :80]
    labels = np.zeros((7, 64, 80), np.uint8)
    for t, image in enumerate(labels):
        image[(x - 20 - 3 * t) ** 2 + (y - 18) ** 2 < 100] = 2
        if t >= 2 and t != 4:
            image[(x - 60) ** 2 + (y - 55 + 2 * t) ** 2 < 80] = 5
    return labels


@pytest.fixture(scope="session")
def disc_frames(disc_labels):
    """(7, 64, 80) uint8: textured discs over a darker background."""
    rng = np.random.default_rng(2)
    frames = np.where(disc_labels > 0, 150 + 12 * disc_labels.astype(int), 40)
    return (frames + rng.integers(0, 20, frames.shape)).astype(np.uint8)


@pytest.fixture
def sequence(disc_frames, disc_labels):
    ground_truth: MasksByObject = {}
    for frame, image in enumerate(disc_labels):
        pack_labels(image, frame, ground_truth)
    return LabeledSequence("discs", open_frames(disc_frames, axes="TYX"), ground_truth, tuple(range(7)))


@pytest.fixture(scope="session")
def model(small_checkpoint):
    return load_model(small_checkpoint, device="cpu")
