"""The session on large planes: each object in a tile at full resolution, or if large on the whole plane.

Every tile of a fixed grid has a ``VideoSession`` of its own; objects in a tile share its encoding. An object
that comes to a tile's edge is handed over to another tile by its mask, as a prompt.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from typing_extensions import override

from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameIndexError, FrameSource, open_frames
from sam2_engine.frames.latest_frame import LatestFrame
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Prompt
from sam2_engine.tiles import CUT_MARGIN, Extent, TileGrid, is_narrow, reaches_inner_edge, tile_side
from sam2_engine.video.choosing import choose
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.frame_steps import track_frames
from sam2_engine.video.memory_policies.policy import Exchange, MemoryPolicy
from sam2_engine.video.memory_policies.registry import memory_policy_of
from sam2_engine.video.scene_changes import SceneChange
from sam2_engine.video.settlement import Overlapping
from sam2_engine.video.tiled.plane_identities import PlaneIdentities
from sam2_engine.video.tiled.tile_assignment import Tile, TiledObject, TileHandover, extent_of
from sam2_engine.video.tiled.tiled_settlement import TileOffer, settle_tiles
from sam2_engine.video.tracking_session import (
    TrackingSession,
    chosen_ids,
    first_frame,
    frames_to_clear,
    require_object,
)
from sam2_engine.video.video_session import FrameOffer, VideoSession
from sam2_engine.weights.pixel_rules import window_of

__all__ = ["TiledVideoSession", "mask_box"]

T = TypeVar("T")

_TILE_FRAMES = 64 * 2**20
HANDOVER_MARGIN, ARRIVAL_MARGIN = 1 / 4, 1 / 8
"""In parts of a tile's side: an object is handed over when it is as near to its tile's edge as the first, to
a tile whose edge is farther than the second. So what moves less between two frames is never cut, and nothing
goes to and fro."""


class TiledVideoSession(TrackingSession):
    """What ``VideoSession`` is, for planes of twice the model's input or more, and for narrow ones.

    Parameters are those of ``VideoSession``, where they are described; there is neither a region
    nor a history. An object has memories in the tile where it is now, and of its prompts. What objects may
    not share is settled within tiles, and then between them.
    """

    remembers_tracked_frames = False

    def __init__(
        self,
        model: Sam2,
        frames: object,
        contrast: tuple[float, float] | IntensityWindow | None = None,
        cache: FeatureCache | None = None,
        max_object_pointers: int = 16,
        max_conditioning_frames: int | None = None,
        remove_small_components: bool | None = None,
        *,
        memory_policy: str | MemoryPolicy = "recent",
        overlapping: bool | Iterable[tuple[int, int]] | None = None,
    ) -> None:
        self.model = model
        self.frames: FrameSource = LatestFrame.of(open_frames(frames))
        self.window = window_of(self.frames, contrast, model.config.intensities)
        self.cache = FeatureCache(_TILE_FRAMES) if cache is None else cache
        self.max_object_pointers = max_object_pointers
        self.max_conditioning_frames = max_conditioning_frames
        self.remove_small_components = remove_small_components
        self.memory_policy = memory_policy_of(memory_policy, self.frames)
        self.overlapping = Overlapping.of(
            self.memory_policy.lets_overlap if overlapping is None else overlapping
        )
        self._identities = PlaneIdentities(self.overlapping)
        side = tile_side(self.frames.shape, model.config)
        self.grid = TileGrid(self.frames.shape, side, side // 2)
        self._tiles: dict[Tile, VideoSession] = {}
        self._objects: dict[int, TiledObject] = {}

    @property
    @override
    def object_ids(self) -> tuple[int, ...]:
        return tuple(self._objects)

    @override
    def prompted_frames(self, object_id: int) -> tuple[int, ...]:
        return tuple(require_object(self._objects, object_id).prompts)

    @override
    def has_mask(self, frame: int, object_id: int) -> bool:
        return any(tile.has_mask(frame, object_id) for tile in self._tiles.values())

    @property
    @override
    def num_bytes(self) -> int:
        return sum(tile.num_bytes for tile in self._tiles.values())

    @override
    def encode(self, frame: int) -> ImageFeatures:
        """Return the whole plane as the encoder sees it; tiles are encoded when something is in them."""
        return self._tile_session(None).encode(frame)

    # ------------------------------------------------------------------ prompts

    @override
    def _add_prompt(self, frame: int, object_id: int, prompt: Prompt, replace: bool) -> FrameResult:
        """Prompt in the tile around the prompt; if that cuts the object, in another or on the whole plane.

        First clicks do not tell an object's size: of tile and plane, the higher predicted IoU decides, unless
        the plane is squeezed.
        """
        prompt = prompt.on(self.frames.shape)
        tiled = self._objects.get(object_id) or TiledObject()
        earlier = [] if replace or prompt.mask is not None else tiled.prompts.get(frame, [])
        prompts = [*earlier, prompt]
        tile = self._tile_for(tiled, frame, prompts)
        whole, first_clicks = None, prompt.box is None and prompt.mask is None and not tiled.tile_by_frame
        if tile is not None and first_clicks and not is_narrow(self.frames.shape, self.model.config):
            whole = self._predict(frame, object_id, tiled, None, prompts, replace)
        result = self._predict(frame, object_id, tiled, tile, prompts, replace)
        box = mask_box(result)
        if prompt.mask is None and box is not None and self._reaches_edge(tile, box):
            nearest = self._nearest_tile(box)
            tile = None if nearest == tile or self._reaches_edge(nearest, box) else nearest
            result = self._predict(frame, object_id, tiled, tile, prompts, replace)
            if self._reaches_edge(tile, mask_box(result)):
                result = self._predict(frame, object_id, tiled, None, prompts, replace)
        if whole is not None and whole.predicted_iou[0] > result.predicted_iou[0]:
            result = self._predict(frame, object_id, tiled, None, prompts, replace)
        tiled.prompts[frame] = prompts
        self._objects[int(object_id)] = tiled
        return result

    @override
    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        tiled = require_object(self._objects, object_id)
        for f in frames_to_clear(object_id, tiled.prompts, frame):
            self._clear_tile_prompts(object_id, f, tiled.tile_by_frame.pop(f))
            del tiled.prompts[f]
        if not tiled.prompts:
            self.remove_object(object_id)

    @override
    def remove_object(self, object_id: int) -> None:
        require_object(self._objects, object_id)
        del self._objects[object_id]
        for tile, session in list(self._tiles.items()):
            if object_id in session.object_ids:
                session.remove_object(object_id)
            self._drop_if_empty(tile)

    @override
    def invalidate(self, object_id: int, from_frame: int) -> None:
        tiled = require_object(self._objects, object_id)
        for f in [f for f in tiled.handovers if f >= from_frame]:
            self._clear_tile_prompts(object_id, f, tiled.handovers.pop(f).tile)
        for session in self._tiles.values():
            if object_id in session.object_ids:
                session.invalidate(object_id, from_frame)

    def _tile_for(self, tiled: TiledObject, frame: int, prompts: list[Prompt]) -> Tile:
        """Return the tile for prompts: the one where the object is, else the one around them."""
        extent = extent_of(prompts)
        if tiled.tile_by_frame:
            _, tile = tiled.anchor(frame)
            if tile is None or not self._reaches_edge(tile, extent):
                return tile
        tile = self._nearest_tile(extent)
        return None if self._reaches_edge(tile, extent) else tile

    def _predict(
        self,
        frame: int,
        object_id: int,
        tiled: TiledObject,
        tile: Tile,
        prompts: list[Prompt],
        replace: bool = False,
    ) -> FrameResult:
        """Return the mask of all prompts of a frame in a tile; those that it has already are not repeated."""
        session, earlier = self._tile_session(tile), tiled.tile_by_frame.get(frame, ())
        if earlier not in ((), tile):
            self._clear_tile_prompts(object_id, frame, tiled.tile_by_frame.pop(frame))
        if frame in tiled.handovers and frame not in tiled.tile_by_frame:
            handover = tiled.handovers.pop(frame)
            if handover.tile != tile:
                self._clear_tile_prompts(object_id, frame, handover.tile)
        for prompt in prompts[-1:] if earlier == tile else prompts:
            result = session.add_prompt(frame, object_id, prompt, replace=replace)
        tiled.tile_by_frame[frame] = tile
        return result

    def _clear_tile_prompts(self, object_id: int, frame: int, tile: Tile) -> None:
        """Remove an object's prompts on a frame from a tile, if it has any."""
        session = self._tiles.get(tile)
        if session is not None and object_id in session.object_ids:
            if frame in session.prompted_frames(object_id):
                session.clear_prompts(object_id, frame)
            self._drop_if_empty(tile)

    def _tile_session(self, tile: Tile) -> VideoSession:
        if tile not in self._tiles:
            self._tiles[tile] = VideoSession(
                self.model,
                self.frames,
                contrast=self.window,
                region=tile,
                cache=self.cache,
                max_object_pointers=self.max_object_pointers,
                max_conditioning_frames=self.max_conditioning_frames,
                remove_small_components=self.remove_small_components,
                memory_policy=self.memory_policy,
                overlapping=self._may_overlap,
            )
        return self._tiles[tile]

    @property
    def _may_overlap(self) -> bool | list[tuple[int, int]]:
        pairs = [(min(pair), max(pair)) for pair in self.overlapping.pairs]
        return self.overlapping.everything or (pairs or False)

    def _drop_if_empty(self, tile: Tile) -> None:
        if tile in self._tiles and not self._tiles[tile].object_ids:
            del self._tiles[tile]

    def _nearest_tile(self, box: Extent) -> Tile:
        """Return the tile around a box; None where a single one is the whole plane."""
        if len(self.grid.tiles) == 1:
            return None
        return self.grid.nearest((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)

    def _reaches_edge(self, tile: Tile, box: Extent | None, margin: float = CUT_MARGIN) -> bool:
        """Whether a box may go on beyond a tile; one that lies elsewhere does as well."""
        if tile is None or box is None:
            return False
        return reaches_inner_edge(box, tile, self.frames.shape, margin)

    def _next_tile(self, tile: Tile, box: Extent) -> Tile:
        """Return the tile in which an object is to be tracked from now on; often the same one."""
        if not self._reaches_edge(tile, box, HANDOVER_MARGIN * self.grid.side):
            return tile
        nearest = self._nearest_tile(box)
        if not self._reaches_edge(nearest, box, ARRIVAL_MARGIN * self.grid.side):
            return nearest
        if not self._reaches_edge(tile, box):
            return tile
        too_large = nearest == tile or self._reaches_edge(nearest, box)
        return None if too_large else nearest

    # ------------------------------------------------------------------ propagation

    @override
    def propagate(
        self,
        object_ids: Iterable[int] | int | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
        chosen = chosen_ids(object_ids)
        first = first_frame(self.frames, self._objects, chosen, start, stop, reverse)
        stop = None if stop is None else int(stop)
        return self._propagate_frames(chosen, first, stop, reverse)

    def _propagate_frames(
        self, chosen: list[int] | None, first: int, stop: int | None, reverse: bool
    ) -> Iterator[FrameResult]:
        for object_id in self._objects if chosen is None else chosen:
            self._forget_handovers(object_id, first, stop, -1 if reverse else 1)
        yield from track_frames(
            self.frames, lambda frame: self._track_frame(frame, chosen, reverse), first, stop, reverse
        )

    def _forget_handovers(self, object_id: int, first: int, stop: int | None, step: int) -> None:
        """Forget the handovers of an earlier propagation on the frames that are tracked anew."""
        handovers = self._objects[object_id].handovers
        for f in list(handovers):
            if f * step > first * step and (stop is None or f * step <= stop * step):
                self._clear_tile_prompts(object_id, f, handovers.pop(f).tile)

    def _track_frame(self, frame: int, chosen: list[int] | None, reverse: bool) -> FrameResult:
        if self.frames.length is not None and frame >= self.frames.length:
            raise FrameIndexError(f"{self.frames.name} has no frame {frame}.")
        ids = [i for i in self._objects if chosen is None or i in chosen]
        ids = [i for i in ids if self._objects[i].started(frame, reverse)]
        members: dict[Tile, list[int]] = {}
        for object_id in ids:
            anchor, tile = self._objects[object_id].anchor(frame, reverse)
            self._ensure_handover_prompt(object_id, anchor, tile)
            members.setdefault(tile, []).append(object_id)
        if not ids:
            return FrameResult.without_objects(frame, self.frames.shape)
        if not self.overlapping.everything:
            return self._settled(frame, ids, members, reverse)
        results = []
        for tile, inside in members.items():
            result = self._tile_session(tile).track_frame(frame, inside, reverse)
            results.append(result)
            for index, object_id in enumerate(result.object_ids):
                self._hand_over(frame, object_id, tile, result, index)
        return _merge_results(results, ids)

    @torch.inference_mode()
    def _settled(
        self, frame: int, ids: list[int], members: dict[Tile, list[int]], reverse: bool
    ) -> FrameResult:
        """Track objects that know of each other: settled in tiles, then between them, then remembered."""
        offered = {tile: self._offer(frame, tile, inside, reverse) for tile, inside in members.items()}
        tiles = [one for _, one in offered.values()]
        settle_tiles(tiles, self.memory_policy, self.overlapping)
        exchanges = self._identities.watch(tiles, frame, reverse)
        results = {
            tile: self._tile_session(tile).take_frame(offer, one.chosen)
            for tile, (offer, one) in offered.items()
        }
        if any(result.scene_change for result in results.values()):
            self._identities.forget()
        places = {i: (tile, results[tile].object_ids.index(i)) for tile in results for i in members[tile]}
        merged = _merge_results(list(results.values()), ids)
        if exchanges:
            merged = self._exchange(frame, reverse, exchanges, merged, places)
        for i in ids:
            tile, index = places[i]
            if i not in exchanges:
                self._hand_over(frame, i, tile, results[tile], index)
        return merged

    def _offer(
        self, frame: int, tile: Tile, inside: list[int], reverse: bool
    ) -> tuple[FrameOffer, TileOffer]:
        """Return what a tile offers, settled among its own objects."""
        offered = self._tile_session(tile).offer_frame(frame, inside, reverse)
        offer, chosen = offered.offer, None
        given = {i: output.low_res_logits for i, output in offered.outputs.items()}
        if offer is not None:
            chosen = choose(self.memory_policy, offer.prediction, offer.pasts, self.overlapping, offer.given)
        return offered, TileOffer(offered.seen, self.model.low_res_size, given, offer, chosen)

    def _exchange(
        self,
        frame: int,
        reverse: bool,
        exchanges: dict[int, Exchange],
        merged: FrameResult,
        places: dict[int, tuple[Tile, int]],
    ) -> FrameResult:
        """Exchange objects that were taken for each other: each goes on as the other one, by its mask."""
        ids = list(merged.object_ids)
        taken = [ids.index(exchanges[i].other) if i in exchanges else index for index, i in enumerate(ids)]
        step = -1 if reverse else 1
        for i, exchange in exchanges.items():
            tiled = self._objects[i]
            self._leave(i, places[i][0])
            first, last = exchange.since * step, frame * step
            for f in [f for f in tiled.handovers if first <= f * step <= last]:
                self._clear_tile_prompts(i, f, tiled.handovers.pop(f).tile)
        for i in exchanges:
            mask = merged.mask_of(taken[ids.index(i)])
            target = places[exchanges[i].other][0]
            self._objects[i].handovers[frame] = TileHandover(target, Prompt(mask=mask))
            self._ensure_handover_prompt(i, frame, target)
        return _exchanged(merged, taken, exchanges)

    def _leave(self, object_id: int, tile: Tile) -> None:
        """Let a tile forget what it tracked of an object; of one that was prompted there the prompts stay."""
        session = self._tiles.get(tile)
        if session is None or object_id not in session.object_ids:
            return
        if tile in self._objects[object_id].tile_by_frame.values():
            session.invalidate(object_id, 0)
        else:
            session.remove_object(object_id)
            self._drop_if_empty(tile)

    def _ensure_handover_prompt(self, object_id: int, frame: int, tile: Tile) -> None:
        """Prompt a tile, unless it still has that prompt, with the mask that was handed over to it."""
        handover, session = self._objects[object_id].handovers.get(frame), self._tile_session(tile)
        is_prompted = object_id in session.object_ids and frame in session.prompted_frames(object_id)
        if handover is not None and not is_prompted:
            session.add_prompt(frame, object_id, handover.prompt)

    def _hand_over(self, frame: int, object_id: int, tile: Tile, result: FrameResult, index: int) -> None:
        """Hand an object that has come close to the edge of its tile over to another one."""
        box = mask_box(result, index)
        tiled = self._objects[object_id]
        prompted = frame in tiled.tile_by_frame  # the tile of a prompted frame was chosen by the prompts
        target = tile if prompted or box is None else self._next_tile(tile, box)
        if target == tile:
            return
        handover = TileHandover(target, Prompt(mask=result.mask_of(index)))
        self._leave(object_id, tile)
        tiled.handovers[frame] = handover
        self._ensure_handover_prompt(object_id, frame, target)


def mask_box(result: FrameResult, index: int = 0) -> Extent | None:
    """Return the inclusive box of an object's mask on the plane; None if it is empty."""
    mask = result.mask_of(index)
    if mask.is_empty:
        return None
    rows, columns = mask.box
    return columns.start, rows.start, columns.stop - 1, rows.stop - 1


def _merge_results(results: list[FrameResult], ids: list[int]) -> FrameResult:
    """Return the results of several tiles on one frame as one, in the order of ``ids``."""
    found = [object_id for result in results for object_id in result.object_ids]
    order = sorted(range(len(found)), key=lambda index: ids.index(found[index]))
    regions = [region for result in results for region in result.regions or (None,) * len(result.object_ids)]
    given = [mask for result in results for mask in result.given_masks or (None,) * len(result.object_ids)]
    notes = [note for result in results for note in result.notes or (None,) * len(result.object_ids)]
    return FrameResult(
        frame=results[0].frame,
        object_ids=tuple(found[i] for i in order),
        low_res_logits=np.concatenate([result.low_res_logits for result in results])[order],
        presence=np.concatenate([result.presence for result in results])[order],
        predicted_iou=np.concatenate([result.predicted_iou for result in results])[order],
        shape=results[0].shape,
        regions=tuple(regions[i] for i in order),
        given_masks=tuple(given[i] for i in order),
        scene_change=_scene_change(results),
        notes=tuple(notes[i] for i in order) if any(notes) else (),
    )


def _scene_change(results: list[FrameResult]) -> SceneChange:
    """Return what changed with a frame of the plane: what changes in some of its tiles alone is no scene."""
    changes = {result.scene_change for result in results}
    if SceneChange.NONE in changes:
        return SceneChange.NONE
    return changes.pop() if len(changes) == 1 else SceneChange.CUT


def _exchanged(result: FrameResult, taken: list[int], exchanges: dict[int, Exchange]) -> FrameResult:
    """Return a result in which each object has the row of ``taken``, with the exchanges in its notes."""

    def of(values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(values[row] for row in taken) if values else ()

    notes = zip(result.object_ids, of(result.notes), strict=True)
    return replace(
        result,
        low_res_logits=result.low_res_logits[taken],
        presence=result.presence[taken],
        predicted_iou=result.predicted_iou[taken],
        regions=of(result.regions),
        given_masks=of(result.given_masks),
        notes=tuple(note and replace(note, exchanged=exchanges.get(i)) for i, note in notes),
    )
