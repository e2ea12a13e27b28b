import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from seen import SHAPE, seen

from sam2_engine import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.live_stream import LiveFrames
from sam2_plugins.everything import kept as kept_module
from sam2_plugins.everything import run as run_module
from sam2_plugins.everything.divisions import ProposedDivision
from sam2_plugins.everything.estimate import estimate_everything
from sam2_plugins.everything.existing import Existing, beside
from sam2_plugins.everything.finding import frames_to_look_at
from sam2_plugins.everything.kept import FolderOfSightings, SightingsInMemory, description_of
from sam2_plugins.everything.run import track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.storing import ToStore
from sam2_plugins.everything.storing import store as store_tracks
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskOrigin
from sam2_plugins.session.readable import run_to_end

FEW = EverythingSettings(points_per_side=8, min_area=40, confidence=0.6)


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """(4, 96, 96): two discs that move over noise."""
    y, x = np.mgrid[:96, :96]
    frames = np.random.default_rng(3).integers(30, 34, (4, 96, 96)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 26 - 3 * t) ** 2 + (y - 26) ** 2 < 160] = 220
        frame[(x - 66) ** 2 + (y - 68 + 2 * t) ** 2 < 200] = 190
    return frames


@pytest.fixture
def work(frames: NDArray[np.uint8], store: ModelStore) -> AnnotationSession:
    return AnnotationSession(frames, store, "nano@128", axes="TYX")


def centers(session: AnnotationSession) -> dict[tuple[int, int], list[int]]:
    """Return by rounded center on the first frame the frames of each object."""
    found = {}
    for object_id in session.objects:
        known = session.frames_of(object_id)
        mask = session.mask(object_id, known[0])
        assert mask is not None
        found[tuple(round(side.mean() / 10) for side in np.nonzero(mask))] = known
    return found


def test_two_discs_are_found_and_tracked_and_one_undo_takes_them_back(work: AnnotationSession):
    steps = list(track_everything.steps(work, FEW))
    assert [*dict.fromkeys(steps)][-1] == (4, 4)
    found = centers(work)
    assert found[3, 3] == found[7, 7] == [0, 1, 2, 3]
    accepted = work.accepted(next(iter(work.objects)), 0)
    assert accepted is not None
    assert accepted.origin is MaskOrigin.TRACKED  # nobody has looked at it: the review does
    work.undo()
    assert not work.objects


def test_what_a_session_has_already_is_not_found_again(work: AnnotationSession, frames: NDArray[np.uint8]):
    mine = work.add_object("mine")
    for frame in range(4):
        work.add_mask(frame, mine, frames[frame] == 220)
    work.verify(mine, range(4))
    track_everything(work, FEW)
    assert (3, 3) in centers(work)
    assert sum(key == (3, 3) for key in centers(work)) == 1
    assert work.objects[mine].name == "mine"
    before = len(work.objects)
    assert track_everything(work, FEW).object_ids == ()
    assert len(work.objects) == before


def test_an_object_that_was_marked_on_one_frame_is_known_on_all(store: ModelStore):
    session = AnnotationSession(np.zeros((4, *SHAPE), np.uint8), store, "nano@128", axes="TYX")
    session.import_masks(2, {5: seen(20, 20).mask.to_array()})
    same, other = ({t: seen(x + t, 20) for t in range(4)} for x in (18, 60))
    found = beside(Existing.of(session), {0: same, 1: other})
    assert (found.known, [*found.new]) == ({0: 5}, [1])
    assert found.beyond == {5: {0, 1, 3}}


def test_what_is_stored_after_a_kill_has_the_mother_that_was_stored_before(store: ModelStore):
    session = AnnotationSession(np.zeros((4, *SHAPE), np.uint8), store, "nano@128", axes="TYX")
    tracks = {0: {t: seen(40, 30, 9) for t in range(2)}} | {
        number: {t: seen(x, 30, 6) for t in range(2, 4)} for number, x in ((1, 34), (2, 46))
    }
    division = ProposedDivision(0, (1, 2), 2, 0.9)
    existing = Existing.of(session)
    steps = store_tracks(session, ToStore(existing, beside(existing, tracks), [division]), object())
    assert (next(steps), next(steps)) == (0, 1)
    steps.close()
    assert len(session.objects) == 2
    existing = Existing.of(session)
    again = ToStore(existing, beside(existing, tracks), [division])
    assert list(run_to_end(store_tracks(session, again, object()))) == [2]
    assert {one.parents for one in session.objects.values() if one.id > 1} == {(1,)}


def test_between_the_frames_looked_at_objects_are_followed(work: AnnotationSession):
    result = track_everything(work, replace(FEW, every=2))
    assert result.looked_at == (0, 2, 3)
    found = centers(work)
    assert found[3, 3] == found[7, 7] == [0, 1, 2, 3]


@pytest.mark.parametrize("noise", [0, 3], ids=["black", "noise"])
def test_tracks_go_on_over_frames_that_show_nothing(frames: NDArray[np.uint8], store: ModelStore, noise: int):
    dark = np.random.default_rng(5).integers(0, noise + 1, frames[0].shape).astype(np.uint8)
    stack = np.stack([frames[0], frames[1], dark, frames[2], frames[3]])
    work = AnnotationSession(stack, store, "nano@128", axes="TYX")
    result = track_everything(work, FEW)
    assert (result.looked_at, result.blank) == ((0, 1, 3, 4), (2,))
    assert str(result).endswith("looked for on 4 frames; nothing is to be seen on frame 2")
    assert centers(work)[3, 3] == centers(work)[7, 7] == [0, 1, 3, 4]


def test_a_stack_that_begins_with_a_black_frame(frames: NDArray[np.uint8], store: ModelStore):
    work = AnnotationSession(np.stack([0 * frames[0], *frames]), store, "nano@128", axes="TYX")
    assert track_everything(work, FEW).blank == (0,)
    assert centers(work)[3, 3] == centers(work)[7, 7] == [1, 2, 3, 4]


def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list in which the frames stand that are searched from now on."""
    frames: list[int] = []
    search = run_module.find_sightings

    def counted(session: AnnotationSession, frame: int, *rest: object) -> Iterator[object]:
        frames.append(frame)
        return (yield from search(session, frame, *rest))  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "find_sightings", counted)
    return frames


def test_a_stopped_run_goes_on_where_it_was(
    work: AnnotationSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    frames, kept = looked(monkeypatch), FolderOfSightings(tmp_path / "everything")
    steps = track_everything.steps(work, FEW, kept)
    for done, _ in steps:
        if done == 2:
            break
    steps.close()
    assert not work.objects
    (tmp_path / "everything" / "found-000001.npz").write_bytes(b"cut off")
    result = track_everything(work, FEW, kept)
    assert frames == [0, 1, 1, 2, 3]  # what cannot be read is looked for again
    assert len(result.object_ids) == len(work.objects) >= 2
    assert not kept.folder.exists()


def test_other_settings_look_anew(work: AnnotationSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frames, kept = looked(monkeypatch), FolderOfSightings(tmp_path / "everything")
    next(step for step in track_everything.steps(work, FEW, kept) if step[0] == 1)
    next(
        step
        for step in track_everything.steps(work, EverythingSettings(points_per_side=6), kept)
        if step[0] == 1
    )
    assert frames == [0, 0]


def test_a_run_that_is_killed_while_it_stores_stores_the_rest_later(
    work: AnnotationSession, frames: NDArray[np.uint8], store: ModelStore, monkeypatch: pytest.MonkeyPatch
):
    whole = AnnotationSession(frames, store, "nano@128", axes="TYX")
    track_everything(whole, FEW)
    kept, store_track = SightingsInMemory(), work.import_track

    def once(*arguments: object, **options: object) -> int:
        if work.objects:
            raise KeyboardInterrupt
        return store_track(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "import_track", once)
    with pytest.raises(KeyboardInterrupt):
        track_everything(work, FEW, kept)
    assert len(work.objects) == 1
    monkeypatch.undo()
    track_everything(work, FEW, kept)
    assert sorted(centers(work).items()) == sorted(centers(whole).items())


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = FolderOfSightings(tmp_path / "everything")
    kept.begin({"version": 1})
    kept.put("found-000000", {0: [seen(20, 20)]})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept_module.np, "savez_compressed", full)
    with pytest.raises(InputError, match="No space left on device"):
        kept.put("found-000001", {1: [seen(30, 20)]})
    monkeypatch.undo()
    kept.begin({"version": 1})
    (again,) = (kept.get("found-000000") or {})[0]
    assert again is not None
    assert np.array_equal(again.mask.to_array(), seen(20, 20).mask.to_array())
    assert kept.get("found-000001") is None
    assert [path.name for path in sorted(kept.folder.iterdir())] == ["found-000000.npz", "run.json"]


def test_what_was_seen_stays_until_the_session_is_saved(tmp_path: Path):
    is_saved = False
    kept = FolderOfSightings(tmp_path / "everything", saved=lambda: is_saved)
    kept.begin({"version": 1})
    kept.put("found-000000", {0: [seen(20, 20)]})
    kept.clear()
    assert kept.get("found-000000") is not None
    is_saved = True
    kept.clear()
    assert not kept.folder.exists()


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path):
    kept = FolderOfSightings(tmp_path / "everything")
    given = {3: [seen(20, 20, score=0.25), None], 4: [], 5: [None, seen(50, 40, found=False)]}
    kept.put("followed", given)
    back = kept.get("followed")
    assert back is not None
    for frame, ones in given.items():
        assert len(back[frame]) == len(ones)
        for one, other in zip(ones, back[frame]):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert np.array_equal(one.mask.to_array(), other.mask.to_array())
                assert (one.area, one.score, one.found) == (other.area, other.score, other.found)


def test_a_stack_without_objects_gives_none(store: ModelStore):
    empty = AnnotationSession(np.full((3, 64, 64), 40, np.uint8), store, "nano@128", axes="TYX")
    assert track_everything(empty, EverythingSettings(points_per_side=4)).object_ids == ()
    assert empty.undo_name is None


def test_one_frame_is_a_stack_too(frames: NDArray[np.uint8], store: ModelStore):
    single = AnnotationSession(frames[:1], store, "nano@128", axes="TYX")
    assert len(track_everything(single, FEW).object_ids) >= 2


def test_a_live_stream_is_refused(store: ModelStore):
    stream = LiveFrames(iter([np.zeros((64, 64), np.uint8)]))
    session = AnnotationSession(stream, store, "nano@128")
    with pytest.raises(InputError, match="has no end"):
        track_everything(session)


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="every 1, 2"):
        EverythingSettings(every=0)
    with pytest.raises(InputError, match="Confidence"):
        EverythingSettings(confidence=3)


class Drifting:
    """Frames of a pattern that moves so many pixels a frame."""

    def __init__(self, length: int, step: float, noise: float = 0.0) -> None:
        self.length, self.step, self.noise = length, step, noise
        rng = np.random.default_rng(2)
        self.pattern = np.kron(rng.random((40, 40)), np.ones((12, 12)))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, frame: int) -> NDArray[np.float64]:
        moved = np.roll(self.pattern, round(self.step * frame), 1)
        return moved + np.random.default_rng(frame).normal(0, self.noise, moved.shape)


def test_a_long_stack_that_changes_slowly_is_looked_at_here_and_there():
    assert frames_to_look_at(Drifting(40, 0)) == list(range(40))
    assert frames_to_look_at(Drifting(200, 0, noise=0.1)) == [*range(0, 200, 8), 199]
    assert frames_to_look_at(Drifting(200, 4)) == list(range(200))
    assert frames_to_look_at(Drifting(10, 4), every=4) == [0, 4, 8, 9]


def test_the_estimate_knows_what_was_measured(frames: NDArray[np.uint8]):
    work = AnnotationSession(frames, ModelStore("cpu"), "nano@128", axes="TYX")
    assert "time not known" in str(estimate_everything(work, FEW))
    track_everything(work, FEW)
    assert estimate_everything(work, FEW).seconds is not None


def test_what_was_seen_in_a_stack_that_is_written_again_is_not_gone_on_with(
    frames: NDArray[np.uint8], store: ModelStore, tmp_path: Path
):
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, frames, metadata={"axes": "TYX"}, photometric="minisblack")

    def described() -> dict[str, Any]:
        with open_frames(stack) as opened:
            return description_of(AnnotationSession(opened, store, "nano@128"), FEW)

    before = described()
    assert described() == before
    frames[1] = frames[1, ::-1]
    tifffile.imwrite(stack, frames, metadata={"axes": "TYX"}, photometric="minisblack")
    assert described() != before


def test_undo_says_that_everything_was_found(work: AnnotationSession):
    list(track_everything.steps(work, FEW))
    assert work.undo_name == "find everything"
