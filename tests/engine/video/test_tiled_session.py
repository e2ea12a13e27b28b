"""Objects on a plane that is large for the model: in tiles, handed over, or on the whole plane."""

from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine import load_model, open_frames
from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.video_session import VideoSession

SHAPE = (300, 420)  # the small model's input is 128


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    noise = np.random.default_rng(5).integers(20, 60, (6, *SHAPE))
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for t, frame in enumerate(noise):
        frame[(x - 90 - 25 * t) ** 2 + (y - 100) ** 2 < 150] = 220
    return noise.astype(np.uint8)


def square(x: int, y: int, half: int = 8) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = True
    return mask


class SquareTracking:
    """Lets the sessions of tiles track squares to where they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Callable[[int, int], tuple[int, int]]) -> None:
        self.tracked: list[tuple[int, tuple[int, ...], object]] = []
        original = VideoSession.track_frame

        def track_frame(
            session: VideoSession, frame: int, chosen: list[int] | None, reverse: bool
        ) -> FrameResult:
            result = original(session, frame, chosen, reverse)
            self.tracked.append((frame, result.object_ids, session.region))
            x0, y0, x1, y1 = session.region or (0, 0, SHAPE[1], SHAPE[0])
            for index, object_id in enumerate(result.object_ids):
                seen = square(*place(object_id, frame))[y0:y1, x0:x1]
                side = result.low_res_logits.shape[-1]
                rows = (np.arange(side) * seen.shape[0]) // side
                columns = (np.arange(side) * seen.shape[1]) // side
                result.low_res_logits[index] = np.where(seen[np.ix_(rows, columns)], 8.0, -8.0)
            return result

        monkeypatch.setattr(VideoSession, "track_frame", track_frame)


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> SquareTracking:
    """Object 1 moves to the right by 25 pixels a frame, object 2 stands still."""
    return SquareTracking(monkeypatch, lambda i, frame: (90 + 25 * frame, 100) if i == 1 else (340, 220))


def center(mask: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def test_planes_decide_which_session(small_model: Sam2, frames: NDArray[np.uint8]) -> None:
    large, small = open_frames(frames), open_frames(frames[:, :200, :255])
    assert isinstance(open_video_session(small_model, large), TiledVideoSession)
    assert isinstance(open_video_session(small_model, small), VideoSession)


def test_tiles_remember_by_a_policy(small_model: Sam2, frames: NDArray[np.uint8]) -> None:
    session = open_video_session(small_model, open_frames(frames), memory_policy="motion")
    session.add_mask(0, 1, square(90, 100))
    session.add_mask(0, 2, square(340, 220))
    for result in session.propagate():
        if result.frame:
            assert result.object_ids == (1, 2)
            assert [note is not None for note in result.notes] == [True, True]
    assert isinstance(session, TiledVideoSession)
    assert {str(tile.memory_policy) for tile in session._tiles.values()} == {"<Motion motion>"}


def test_an_object_is_handed_over_by_every_policy(
    small_model: Sam2, frames: NDArray[np.uint8], moving: SquareTracking
) -> None:
    session = open_video_session(small_model, open_frames(frames), memory_policy="motion+long_term")
    session.add_mask(0, 1, square(90, 100))
    for result in session.propagate():
        x, y = center(result.masks[0])
        assert abs(x - 90 - 25 * result.frame) < 3
        assert abs(y - 100) < 3
    assert len({region for *_, region in moving.tracked}) > 1


def test_a_click_is_that_of_the_tile_around_it() -> None:
    y, x = np.ogrid[:700, :1500]
    disc = (x - 760) ** 2 + (y - 300) ** 2 < 40**2  # on an edge of a tile of nano's grid
    plane = gaussian_filter(np.where(disc, 170.0, 50.0), 2).astype(np.uint8)
    model = load_model("nano", device="cpu")
    session = TiledVideoSession(model, plane[None])
    result = session.add_points(0, 1, (770, 310))
    (region,) = result.regions
    assert region in session.grid.tiles
    assert region is not None
    assert region[0] < 720 < 800 < region[2]
    mask = result.masks[0]
    assert (mask & disc).sum() / (mask | disc).sum() > 0.8
    alone = VideoSession(model, plane[None], region=region)
    np.testing.assert_array_equal(alone.add_points(0, 1, (770, 310)).masks[0], mask)
    assert len(session._tiles) == 1, "tiles that were only tried are dropped"
    session.add_points(0, 1, (100, 650), [0])  # lies in no tile together with the first click
    assert session.prompted_frames(1) == (0,)
    assert list(session._tiles) == [None]


@pytest.mark.parametrize("higher", ["tile", "plane"])
def test_of_tile_and_plane_the_higher_predicted_iou_decides_on_first_clicks(
    higher: str, small_model: Sam2, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = VideoSession.add_prompt

    def add_prompt(session: VideoSession, *args: Any, **options: Any) -> FrameResult:
        result = original(session, *args, **options)
        result.predicted_iou[:] = 0.9 if (session.region is None) == (higher == "plane") else 0.4
        result.low_res_logits[:] = -8.0
        result.low_res_logits[..., 15:17, 15:17] = 8.0  # far from every edge
        return result

    monkeypatch.setattr(VideoSession, "add_prompt", add_prompt)
    session = TiledVideoSession(small_model, frames)
    session.add_points(0, 1, (200, 150))
    (tile,) = session._tiles
    assert (tile is None) == (higher == "plane")
    session.add_points(0, 1, (202, 152))  # a correction stays where the object is
    assert list(session._tiles) == [tile]


def test_boxes_larger_than_a_tile_go_to_the_whole_plane(small_model: Sam2, frames: NDArray[np.uint8]) -> None:
    session = TiledVideoSession(small_model, frames)
    result = session.add_box(0, 1, (50, 40, 300, 250))
    assert result.regions in ((), (None,))
    same = VideoSession(small_model, frames).add_box(0, 1, (50, 40, 300, 250))
    np.testing.assert_array_equal(result.masks, same.masks)


def test_objects_are_handed_over_from_tile_to_tile(
    small_model: Sam2, frames: NDArray[np.uint8], moving: SquareTracking
) -> None:
    session = TiledVideoSession(small_model, frames)
    session.add_mask(0, 1, square(90, 100))
    session.add_mask(0, 2, square(340, 220))
    results = list(session.propagate())
    assert [r.frame for r in results] == list(range(6))
    for result in results:
        assert result.object_ids == (1, 2)
        assert center(result.masks[0]) == pytest.approx((90 + 25 * result.frame, 100), abs=3)
        assert center(result.masks[1]) == pytest.approx((340, 220), abs=3)
        assert np.array_equal(result.masks[0], result.logits[0] > 0)
    regions = [r.regions[0] for r in results]
    assert len(set(regions)) >= 2
    assert all(region is not None for region in regions)
    assert len({r.regions[1] for r in results}) == 1
    holding = [tile for tile, one in session._tiles.items() if 1 in one.object_ids]
    assert len(holding) <= 2, "where it was prompted and where it is now"


def test_a_second_propagation_and_one_backwards_start_where_the_object_is(
    small_model: Sam2, frames: NDArray[np.uint8], moving: SquareTracking
) -> None:
    session = TiledVideoSession(small_model, frames)
    session.add_mask(0, 1, square(90, 100))
    first = list(session.propagate())
    moving.tracked.clear()
    again = list(session.propagate(start=4))
    assert [r.frame for r in again] == [4, 5]
    np.testing.assert_array_equal(again[1].masks, first[5].masks)
    assert {frame for frame, _, _ in moving.tracked} == {4, 5}
    session.add_mask(5, 1, square(215, 100))
    back = list(session.propagate(reverse=True))
    assert [r.frame for r in back] == [5, 4, 3, 2, 1, 0]
    for result in back:
        assert center(result.masks[0]) == pytest.approx((90 + 25 * result.frame, 100), abs=3)


def test_what_is_removed_leaves_nothing(
    small_model: Sam2, frames: NDArray[np.uint8], moving: SquareTracking
) -> None:
    session = TiledVideoSession(small_model, frames)
    session.add_mask(0, 1, square(90, 100))
    session.add_mask(2, 1, square(140, 100))
    assert session.prompted_frames(1) == (0, 2)
    list(session.propagate())
    session.invalidate(1, 3)
    assert all(frame < 3 for frame in session._objects[1].handovers)
    session.clear_prompts(1, 2)
    assert session.prompted_frames(1) == (0,)
    session.clear_prompts(1)
    assert session.object_ids == ()
    assert session._tiles == {}
    for act in (lambda: session.remove_object(1), lambda: list(session.propagate())):
        with pytest.raises(InputError):
            act()
    with pytest.raises(InputError, match="no frame 9"):
        session.add_points(9, 1, (10, 10))
    assert session.object_ids == ()


def test_frames_are_read_once_and_alone(small_model: Sam2, frames: NDArray[np.uint8]) -> None:
    read: list[int] = []

    def load(block: NDArray[np.uint8], block_info: dict | None = None) -> NDArray[np.uint8]:
        if block_info:
            read.append(block_info[0]["chunk-location"][0])
        return block

    lazy = da.from_array(frames, chunks=(1, *SHAPE)).map_blocks(load, dtype=frames.dtype)
    session = TiledVideoSession(small_model, lazy)
    session.add_mask(1, 1, square(90, 100))
    session.add_mask(1, 2, square(340, 220))
    assert set(read) == {1}
    assert len(read) == 1
    steps: Iterator[FrameResult] = session.propagate()
    next(steps)
    next(steps)
    assert read == [1, 2]
