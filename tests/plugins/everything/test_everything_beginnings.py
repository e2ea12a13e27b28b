from collections.abc import Generator, Sequence

from seen import seen

from sam2_plugins.everything.beginnings import begun_before
from sam2_plugins.everything.following import Followed
from sam2_plugins.everything.linking import MAX_GAP
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.session.readable import run_to_end


def test_what_is_found_late_begins_where_the_model_sees_it_surely_and_nothing_else_is():
    beside = {frame: seen(60, 40) for frame in range(6)}
    tracks = {0: {5: seen(20, 20)}, 1: {5: seen(40, 20)}, 2: beside, 3: {5: seen(20, 45)}}
    scores = {4: 0.8, 3: 0.6, 2: 0.3, 1: 0.9}
    asked = []

    def follow(frame: int, sightings: Sequence[Sighting], stop: int) -> Generator[int, None, Followed]:
        asked.append((frame, len(sightings), stop))
        yield frame
        return {
            other: [seen(20, 20, score=score, found=False), seen(59, 40, score=score, found=False)]
            for other, score in scores.items()
        }

    done = run_to_end(begun_before(tracks, [0, 1, 2], range(6), follow))
    assert asked == [(5, 2, 5 - MAX_GAP)]
    assert {number: sorted(track) for number, track in done.items()} == {
        0: [3, 4, 5],
        1: [5],  # on every frame it is where another object is
        2: [0, 1, 2, 3, 4, 5],
        3: [5],  # a daughter
    }
    assert sorted(tracks[0]) == [5]
