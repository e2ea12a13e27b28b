"""TrackMate's XML: spots with their outlines, edges along tracks and lineage, in physical units.

Source: imagej.net/plugins/trackmate, "TrackMate file format"; files written by TrackMate 7.
"""

import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sam2_engine.wording import begun, counted
from sam2_plugins.export.format import no_mask, planes_in
from sam2_plugins.export.losses import not_held
from sam2_plugins.export.outlines.polygons import polygons_of
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, source_of
from sam2_plugins.export.track_graph import track_edges
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["no_spots", "write_trackmate"]

_NOT_IN_XML = re.compile("[^\\t\\n\\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VERSION = "7.11.1"
"""Of TrackMate, whose files these are like."""

_FEATURES = {
    "Spot": {
        "QUALITY": ("Quality", "QUALITY", False),
        "POSITION_X": ("X", "POSITION", False),
        "POSITION_Y": ("Y", "POSITION", False),
        "POSITION_Z": ("Z", "POSITION", False),
        "POSITION_T": ("T", "TIME", False),
        "FRAME": ("Frame", "NONE", True),
        "RADIUS": ("Radius", "LENGTH", False),
        "VISIBILITY": ("Visibility", "NONE", True),
        "MANUAL_SPOT_COLOR": ("Manual spot color", "NONE", True),
        "AREA": ("Area", "AREA", False),
        "OBJECT_ID": ("Object id", "NONE", True),
    },
    "Edge": {
        "SPOT_SOURCE_ID": ("Source spot ID", "NONE", True),
        "SPOT_TARGET_ID": ("Target spot ID", "NONE", True),
        "LINK_COST": ("Edge cost", "COST", False),
        "EDGE_TIME": ("Edge time", "TIME", False),
        "DISPLACEMENT": ("Displacement", "LENGTH", False),
    },
    "Track": {
        "TRACK_ID": ("Track ID", "NONE", True),
        "TRACK_INDEX": ("Track index", "NONE", True),
        "NUMBER_SPOTS": ("Number of spots in track", "NONE", True),
        "NUMBER_GAPS": ("Number of gaps", "NONE", True),
        "NUMBER_SPLITS": ("Number of split events", "NONE", True),
        "NUMBER_MERGES": ("Number of merge events", "NONE", True),
    },
}
"""Of each kind the features that are written: name, dimension, and whether it is a whole number."""


def no_spots(session: ReadableSession) -> str | None:
    """Say if there is no mask, or no time."""
    return no_mask(session) or planes_in(session, "TrackMate's tracks are")


@LongWork
def write_trackmate(
    session: ReadableSession, path: str | Path, scale: PhysicalScale | None = None, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write a spot for every visible object and frame, and tracks with divisions, fusions and gaps.

    A track of TrackMate is a whole family; the spots of one object have its name, its color and its id. The
    outline of a spot is that of its largest part, without holes, which TrackMate does not have.

    Yields
    ------
    int
        Each annotated frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, the frames lie along Z, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     summary = write_trackmate(session, Path(folder) / "tracks.xml")
    ...     summary.path.read_text().count("<Edge ")
    1
    """
    path, scale = Path(path), scale or PhysicalScale.of(session.frames)
    with (
        new_file(path, suffixes=(".xml",), inputs=source_of(session), overwrite=overwrite) as aside,
        aside.open("w", encoding="utf-8") as file,
    ):
        writer = _Writer(XMLGenerator(file, "UTF-8", short_empty_elements=True), session, scale)
        num_frames = yield from writer.write()
    return ExportSummary(path, num_frames, len(session.objects), writer.changes)


class _Writer:
    """Writes one file, spots frame by frame, then the tracks that they are."""

    def __init__(self, xml: XMLGenerator, session: ReadableSession, scale: PhysicalScale) -> None:
        self._xml, self._session, self._scale = xml, session, scale
        self._spots: list[tuple[int, int, float, float]] = []  # frame, object, x and y
        self._reduced = 0
        self._lost_parents: list[int] = []

    def write(self) -> Generator[int, None, int]:
        """Write the file, yielding after each frame; return how many had something."""
        frames = known_by_frame(self._session)
        visible = {
            frame: [
                one
                for one in ids
                if (known := self._session.accepted(one, frame)) and not known.mask.is_empty
            ]
            for frame, ids in frames.items()
        }
        if not any(visible.values()):
            raise NothingToExportError
        self._xml.startDocument()
        self._open("TrackMate", version=_VERSION)
        self._open("Model", spatialunits=self._scale.unit, timeunits=self._scale.time_unit)
        self._declare()
        self._open("AllSpots", nspots=sum(map(len, visible.values())))
        for frame, object_ids in visible.items():
            if object_ids:
                self._open("SpotsInFrame", frame=frame)
                for object_id in object_ids:
                    self._spot(frame, object_id)
                self._close("SpotsInFrame")
            yield frame
        self._close("AllSpots")
        self._tracks()
        self._close("Model")
        self._settings()
        self._close("TrackMate")
        self._xml.endDocument()
        return len(frames)

    @property
    def changes(self) -> tuple[str, ...]:
        """What the format could not hold."""
        changes = list(not_held(self._session, "TrackMate", "classes"))
        if self._reduced:
            changes.append(
                f"{counted(self._reduced, 'outline')} of several parts or with holes became that of the "
                "largest part; areas and positions are those of all of it."
            )
        changes += [
            f"{begun(self._session.objects[one].numbered)} was written without a parent that is not visible "
            "before it."
            for one in self._lost_parents
        ]
        return tuple(changes)

    def _open(self, tag: str, **attributes: Any) -> None:
        said = {name: _NOT_IN_XML.sub("", str(value)) for name, value in attributes.items()}
        self._xml.startElement(tag, AttributesImpl(said))

    def _close(self, tag: str) -> None:
        self._xml.endElement(tag)
        self._xml.characters("\n")

    def _empty(self, tag: str, **attributes: Any) -> None:
        self._open(tag, **attributes)
        self._close(tag)

    def _declare(self) -> None:
        self._open("FeatureDeclarations")
        for kind, features in _FEATURES.items():
            self._open(f"{kind}Features")
            for feature, (name, dimension, whole) in features.items():
                self._empty(
                    "Feature",
                    feature=feature,
                    name=name,
                    shortname=name,
                    dimension=dimension,
                    isint=str(whole).lower(),
                )
            self._close(f"{kind}Features")
        self._close("FeatureDeclarations")

    def _spot(self, frame: int, object_id: int) -> None:
        accepted = self._session.accepted(object_id, frame)
        assert accepted is not None
        size = np.array(self._scale.pixel_size[::-1])
        rows, columns = accepted.mask.box
        inside = np.argwhere(accepted.mask.crop())[:, ::-1] + np.array([columns.start, rows.start])
        center = inside.mean(axis=0) * size
        area = len(inside) * float(size.prod())
        polygons = polygons_of(accepted.mask)
        self._reduced += len(polygons) > 1 or bool(polygons[0].holes)
        outline = (polygons[0].exterior - 0.5) * size - center  # pixels' centers are whole numbers there
        described = self._session.objects[object_id]
        red, green, blue = described.color
        quality = accepted.scores.predicted_iou
        self._open(
            "Spot",
            ID=len(self._spots),
            name=described.name,
            QUALITY=1.0 if quality is None else quality,
            POSITION_X=center[0],
            POSITION_Y=center[1],
            POSITION_Z=0.0,
            POSITION_T=frame * self._scale.frame_interval,
            FRAME=frame,
            RADIUS=(area / np.pi) ** 0.5,
            VISIBILITY=1,
            MANUAL_SPOT_COLOR=int(
                np.array(0xFF000000 | red << 16 | green << 8 | blue, np.uint32).view(np.int32)
            ),
            AREA=area,
            OBJECT_ID=object_id,
            ROI_N_POINTS=len(outline),
        )
        self._xml.characters(" ".join(f"{value:.9g}" for value in outline.reshape(-1)))
        self._close("Spot")
        self._spots.append((frame, object_id, float(center[0]), float(center[1])))

    def _tracks(self) -> None:
        frames, ids = (np.array([spot[i] for spot in self._spots]) for i in (0, 1))
        edges = track_edges(self._session, frames, ids).astype(np.int64)
        linked = {(int(ids[a]), int(ids[b])) for a, b in edges if ids[a] != ids[b]}
        self._lost_parents = [
            one.id
            for one in self._session.objects.values()
            if one.id in ids and any((parent, one.id) not in linked for parent in one.parents)
        ]
        count = len(self._spots)
        graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
        _, family = connected_components(graph, directed=False)
        by_family: dict[int, list[NDArray[np.int64]]] = {}
        for edge in edges:
            by_family.setdefault(int(family[edge[0]]), []).append(edge)
        self._open("AllTracks")
        for number, own in enumerate(by_family.values()):
            self._track(number, np.array(own), frames)
        self._close("AllTracks")
        self._open("FilteredTracks")
        for number in range(len(by_family)):
            self._empty("TrackID", TRACK_ID=number)
        self._close("FilteredTracks")

    def _track(self, number: int, edges: NDArray[np.int64], frames: NDArray[Any]) -> None:
        sources, targets = (np.bincount(column) for column in edges.T)
        self._open(
            "Track",
            name=f"Track_{number}",
            TRACK_ID=number,
            TRACK_INDEX=number,
            NUMBER_SPOTS=len(np.unique(edges)),
            NUMBER_GAPS=int((frames[edges[:, 1]] - frames[edges[:, 0]] > 1).sum()),
            NUMBER_SPLITS=int((sources > 1).sum()),
            NUMBER_MERGES=int((targets > 1).sum()),
        )
        for source, target in edges.tolist():
            here, there = (np.array(self._spots[one]) for one in (source, target))
            self._empty(
                "Edge",
                SPOT_SOURCE_ID=source,
                SPOT_TARGET_ID=target,
                LINK_COST=-1.0,
                EDGE_TIME=(here[0] + there[0]) / 2 * self._scale.frame_interval,
                DISPLACEMENT=float(np.linalg.norm(there[2:] - here[2:])),
            )
        self._close("Track")

    def _settings(self) -> None:
        self._open("Settings")
        self._empty("ImageData", **self._image())
        self._empty("InitialSpotFilter", feature="QUALITY", value=-1.0, isabove="true")
        self._empty("SpotFilterCollection")
        self._empty("TrackFilterCollection")
        self._close("Settings")
        self._empty("GUIState", state="ConfigureViews")

    def _image(self) -> Mapping[str, Any]:
        """Return what TrackMate wants to know of the images, which it opens beside."""
        frames = self._session.frames
        file = next(iter(source_of(self._session)), None)
        pixel_height, pixel_width = self._scale.pixel_size
        return {
            "filename": frames.name if file is None else file.name,
            "folder": "" if file is None else f"{file.absolute().parent}/",
            "width": frames.shape[1],
            "height": frames.shape[0],
            "nslices": 1,
            "nframes": len(frames),
            "pixelwidth": pixel_width,
            "pixelheight": pixel_height,
            "voxeldepth": 1.0,
            "timeinterval": self._scale.frame_interval,
        }
