from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_engine import InputError
from sam2_engine.evaluation.lineage_scores import LabeledTracks, lineage_scores


def drawn(*tracks: tuple[int, int, int, int], length: int = 6) -> NDArray[np.uint16]:
    """(T, 40, 60): squares of 6 pixels, each a label, its first and last frame and its first column."""
    labels = np.zeros((length, 40, 60), np.uint16)
    for label, first, last, column in tracks:
        for frame in range(first, last + 1):
            row = 4 + 9 * (label % 4)
            labels[frame, row : row + 6, column + frame : column + frame + 6] = label
    return labels


def divided() -> LabeledTracks:
    """A mother that divides before frame 3, and another cell."""
    return LabeledTracks(drawn((1, 0, 2, 10), (2, 3, 5, 10), (3, 3, 5, 10), (4, 0, 5, 40)), {2: 1, 3: 1})


def test_perfect_tracks_score_one_whatever_their_labels():
    truth = divided()
    renamed = LabeledTracks(np.where(truth.labels, truth.labels + 20, 0), {22: 21, 23: 21})
    scores = lineage_scores(truth, renamed)
    assert (scores.seg, scores.det, scores.tra, scores.lnk, scores.division_f1) == (1, 1, 1, 1, 1)


def test_nothing_found_scores_zero():
    truth = divided()
    scores = lineage_scores(truth, LabeledTracks(np.zeros_like(truth.labels)))
    assert (scores.seg, scores.det, scores.tra, scores.lnk, scores.division_f1) == (0, 0, 0, 0, 0)


def test_a_missed_object_costs_ten_and_its_links_one_and_a_half_each():
    truth = LabeledTracks(drawn((1, 0, 5, 10), (2, 0, 5, 10)))
    found = LabeledTracks(drawn((1, 0, 5, 10)))
    scores = lineage_scores(truth, found)
    assert scores.det == pytest.approx(1 - 60 / 120)
    assert scores.lnk == pytest.approx(1 - 1.5 * 5 / (1.5 * 10))
    assert scores.seg == 0.5


def test_a_division_without_its_parent_is_missing_and_one_frame_late_is_tolerated():
    truth = divided()
    assert lineage_scores(truth, LabeledTracks(truth.labels)).division_f1 == 0
    late = truth.labels.copy()
    late[3][late[3] == 2] = 1
    late[3][late[3] == 3] = 0
    found = LabeledTracks(late, {2: 1, 3: 1})
    assert lineage_scores(truth, found, tolerance=1).division_f1 == 1
    assert lineage_scores(truth, found, tolerance=0).division_f1 == 0


def test_other_frames_and_an_empty_truth_are_refused():
    with pytest.raises(InputError, match="compare the same frames"):
        lineage_scores(divided(), LabeledTracks(drawn((1, 0, 1, 3), length=2)))
    with pytest.raises(InputError, match="no object in the truth"):
        lineage_scores(LabeledTracks(np.zeros((2, 4, 4), int)), LabeledTracks(np.zeros((2, 4, 4), int)))


def perturbed(seed: int) -> tuple[LabeledTracks, LabeledTracks]:
    """A truth, and tracks with false, missing, split and swapped masks and other lineages."""
    rng = np.random.default_rng(seed)
    truth = LabeledTracks(
        drawn((1, 0, 2, 8), (2, 3, 5, 8), (3, 3, 5, 8), (4, 0, 5, 8), (5, 0, 5, 26), (7, 1, 4, 26)),
        {2: 1, 3: 1},
    )
    labels = truth.labels.astype(np.int64)
    for frame in range(len(labels)):
        image = labels[frame]
        if rng.random() < 0.4:
            image[image == rng.choice([2, 4, 5])] = 0
        if rng.random() < 0.3:
            image[30:36, 50:56] = 40 + frame
        if rng.random() < 0.3 and frame > 2:
            image[np.isin(image, (2, 3))] = 2
        if rng.random() < 0.4:
            one, other = image == 4, image == 5
            image[one], image[other] = 5, 4
        shrunk = image == 7
        image[shrunk & (np.indices(image.shape)[1] % 3 == 0)] = 0
    return truth, LabeledTracks(labels.astype(np.uint16), {2: 1, 3: 1, 7: 1} if seed % 2 else {3: 1})


def as_challenge(tracks: LabeledTracks) -> tuple[NDArray[np.uint16], list[tuple[int, int, int, int]]]:
    """Labels and rows (label, begin, end, parent) of tracks without gaps, as the challenge writes them."""
    rows: list[tuple[int, int, int, int]] = []
    labels = np.zeros_like(tracks.labels)
    last_of: dict[int, int] = {}
    first_of: dict[int, int] = {}
    for label, frames in sorted(tracks.frames_by_label().items()):
        parent = 0
        for piece in np.split(np.array(frames), np.flatnonzero(np.diff(frames) > 1) + 1):
            number = len(rows) + 1
            first_of.setdefault(label, number)
            rows.append((number, int(piece[0]), int(piece[-1]), parent))
            labels[piece] = np.where(tracks.labels[piece] == label, number, labels[piece])
            parent = last_of[label] = number
    for child, mother in tracks.parents.items():
        if child in first_of and mother in last_of:
            number = first_of[child]
            _, begin, end, _ = rows[number - 1]
            if rows[last_of[mother] - 1][2] < begin:
                rows[number - 1] = (number, begin, end, last_of[mother])
    return labels, rows


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_the_challenges_own_package(tmp_path: Path, seed: int):
    ctc = pytest.importorskip("ctc_metrics")
    truth, found = perturbed(seed)
    ours = lineage_scores(truth, found)
    for tracks, folder, prefix, table in (
        (truth, tmp_path / "01_GT" / "TRA", "man_track", "man_track.txt"),
        (truth, tmp_path / "01_GT" / "SEG", "man_seg", "man_track.txt"),
        (found, tmp_path / "01_RES", "mask", "res_track.txt"),
    ):
        folder.mkdir(parents=True)
        labels, rows = as_challenge(tracks)
        for frame, image in enumerate(labels):
            tifffile.imwrite(folder / f"{prefix}{frame:04d}.tif", np.pad(image, 1))
        (folder / table).write_text("".join(f"{a} {b} {c} {d}\n" for a, b, c, d in rows))
    theirs = ctc.evaluate_sequence(
        str(tmp_path / "01_RES"),
        str(tmp_path / "01_GT"),
        metrics=["Valid", "SEG", "DET", "TRA", "LNK"],
        threads=1,
    )
    assert theirs["Valid"] == 1
    for name in ("SEG", "DET", "TRA", "LNK"):
        assert getattr(ours, name.lower()) == pytest.approx(theirs[name], abs=1e-9), name
