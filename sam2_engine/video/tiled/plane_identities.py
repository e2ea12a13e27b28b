"""Identities of objects over all tiles of a plane: who meets whom, and who was exchanged."""

from collections.abc import Sequence
from dataclasses import replace

from sam2_engine.video.crossings import Sighting
from sam2_engine.video.identities import watch
from sam2_engine.video.memory_policies.policy import Exchange, FrameNote
from sam2_engine.video.settlement import Overlapping
from sam2_engine.video.tiled.tiled_settlement import TileOffer, sightings_on_plane

__all__ = ["PlaneIdentities"]

_GAP = 3
"""Frames after which what is known of an object's course counts: there may be some that cannot be read."""


class PlaneIdentities:
    """What is known of the objects of a plane, wherever they are: their courses and meetings.

    A tile forgets an object that it hands over, so courses are kept here, of the last frame each way.

    Parameters
    ----------
    overlapping
        Who may share pixels: these are parts of each other, and always together.
    """

    def __init__(self, overlapping: Overlapping) -> None:
        self._overlapping = overlapping
        self._last: dict[tuple[int, bool], tuple[int, FrameNote]] = {}

    def watch(self, tiles: Sequence[TileOffer], frame: int, reverse: bool) -> dict[int, Exchange]:
        """Look at the objects that were tracked on a frame; return with whom some were exchanged, by id."""
        step = -1 if reverse else 1
        notes: dict[int, FrameNote] = {}
        seen: dict[int, Sighting | None] = {}
        for tile in tiles:
            for object_id in tile.given:  # a person said who that is
                self._last.pop((object_id, reverse), None)
            if tile.chosen is not None:
                notes |= zip(tile.ids, tile.chosen.notes, strict=True)
                seen |= zip(tile.ids, sightings_on_plane(tile, frame * step), strict=True)
        before = {i: self._before(i, frame, reverse) for i in notes}
        watched = watch(notes, before, seen, frame * step, step, self._overlapping)
        exchanged = {i: note.exchanged for i, note in watched.items() if note.exchanged is not None}
        for i in watched:
            now = watched[exchanged[i].other if i in exchanged else i]
            self._last[i, reverse] = frame, replace(now, exchanged=None)
        return exchanged

    def forget(self, object_id: int | None = None) -> None:
        """Forget the course of an object, or of all, as where another shot begins."""
        self._last = {key: one for key, one in self._last.items() if object_id not in (None, key[0])}

    def _before(self, object_id: int, frame: int, reverse: bool) -> FrameNote | None:
        last = self._last.get((object_id, reverse))
        return (
            last[1]
            if last is not None and 0 < (last[0] - frame if reverse else frame - last[0]) <= _GAP
            else None
        )
