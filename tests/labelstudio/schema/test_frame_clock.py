"""The page's frame N is the file's frame that a browser shows, checked by pixels."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered_videos import read, write_video

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.labeling_config import MediaTag
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames

RATES = [Fraction(24), Fraction(30), Fraction(10), Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001)]


def clock_of(page_rate: float, file_rate: float, frames: int) -> FrameClock:
    return FrameClock(page_rate, [n / file_rate for n in range(frames)], frames / file_rate)


@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(1, 5000))
def test_the_page_looks_a_hair_after_the_beginning_of_its_frame(
    page: Fraction, file: Fraction, frame: int
) -> None:
    clock = clock_of(float(page), float(file), 10**5)
    begins = (frame - 1) / page
    lowest, highest = (
        (begins + Fraction(999, 10**6)) * file // 1,
        (begins + Fraction(3001, 10**6)) * file // 1,
    )
    assert lowest <= clock.index(frame) <= highest


@given(st.sampled_from(RATES), st.integers(1, 5000))
def test_at_the_files_own_rate_page_frames_are_file_frames(rate: Fraction, frame: int) -> None:
    clock = clock_of(float(rate), float(rate), 5000)
    assert clock.index(frame) == frame - 1
    assert clock.page_frame(frame - 1) == frame


def test_the_page_counts_to_the_rounded_duration() -> None:
    clock = clock_of(24.0, 10.0, 30)
    assert clock.page_frames == 72
    assert [clock.index(frame) for frame in (1, 2, 3, 4, 72, 80)] == [0, 0, 0, 1, 29, 29]
    assert [clock.page_frame(index) for index in (0, 1, 29)] == [3, 5, 72]
    assert clock.seconds(12) == 0.5


def test_frames_past_the_end_are_refused_but_for_what_rounding_explains() -> None:
    clock = clock_of(25.0, 25.0, 100)
    clock.check(101)
    with pytest.raises(InputError, match=r"number 500.*ends with frame 100"):
        clock.check(500)


JITTERY = [0, 17, 67, 100, 220, 228, 268, 285, 335, 368, 488, 496, 536, 600, 601, 700]
VIDEOS: dict[str, tuple[Sequence[int], Fraction, dict[str, object]]] = {
    "24.mp4": (range(40), Fraction(1, 24), {"rate": 24}),
    "23976.webm": (
        range(0, 40 * 1001, 1001),
        Fraction(1, 24000),
        {"rate": Fraction(24000, 1001), "codec": "libvpx"},
    ),
    "2997.webm": (
        range(0, 40 * 1001, 1001),
        Fraction(1, 30000),
        {"rate": Fraction(30000, 1001), "codec": "libvpx"},
    ),
    "b_frames.mp4": (range(40), Fraction(1, 25), {"codec": "libx264", "options": {"bf": "3"}}),
    "variable.webm": (JITTERY, Fraction(1, 1000), {"codec": "libvpx"}),
    "starts_late.webm": (range(500, 1300, 40), Fraction(1, 1000), {"codec": "libvpx"}),
}


# What Chromium 156 showed for the page's frames 1, 2, 3 …, as Label Studio seeks them.
@pytest.mark.parametrize(
    ("name", "page_rate", "shown"),
    [
        ("24.mp4", 24.0, range(40)),
        ("24.mp4", 30.0, [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 12, 13, 14, 15]),
        ("23976.webm", 23.976, range(40)),
        ("23976.webm", 24.0, range(40)),
        ("2997.webm", 29.97, range(40)),
        ("2997.webm", 24.0, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23]),
        ("2997.webm", 10.0, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39]),
        ("b_frames.mp4", 25.0, range(40)),
        ("b_frames.mp4", 29.97, [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15, 15]),
        ("starts_late.webm", 25.0, [*[0] * 13, 0, 1, 2, 3, 4, 5, 6]),
        # By the HTML standard, the last frame that has begun.
        ("variable.webm", 10.0, [0, 3, 3, 7, 9, 11, 14, 15]),
        ("variable.webm", 25.0, [0, 1, 2, 3, 3, 3, 5, 6, 7, 8, 9, 9, 9, 11, 12, 14, 14, 14, 15]),
    ],
)
def test_the_frame_that_a_browser_shows(
    name: str, page_rate: float, shown: Sequence[int], tmp_path: Path
) -> None:
    times, tick, options = VIDEOS[name]
    with open_frames(write_video(tmp_path / name, times, tick, **options)) as frames:  # type: ignore[arg-type]
        clock = FrameClock.of(frames, page_rate)
        assert [read(frames[clock.index(n)]) for n in range(1, len(shown) + 1)] == list(shown)


@pytest.mark.parametrize(
    ("written", "data", "rate"),
    [(None, {}, 24.0), ("$fps", {"fps": 29.97}, 29.97), ("$fps", {"fps": "12.5"}, 12.5), ("25", {}, 25.0)],
)
def test_the_rate_of_the_page(written: str | None, data: dict[str, object], rate: float) -> None:
    assert MediaTag("Video", "video", "$video", written).frames_per_second(data) == rate
