"""TrackMate's XML, read back by pytrackmate and by its tree."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.measure.physical_scale import PhysicalScale

SCALE = PhysicalScale((0.5, 0.25), "µm", 5.0, "min")


def family():
    """1 divides on frame 2 into 2 and 3; 4 is missing on frame 1; 5 is alone on one frame."""
    labels = np.zeros((4, 40, 60), np.uint8)
    labels[:2, 10:20, 10:20] = 1
    labels[2:, 8:14, 8:14], labels[2:, 18:24, 18:24] = 2, 3
    labels[[0, 2, 3], 30:36, 40:48] = 4
    labels[3, 0:3, 50:60] = 5
    return PaintedSession.of(labels, parents={2: (1,), 3: (1,), 5: (4, 1)})


def test_spots_and_tracks_as_a_reader_of_trackmate_finds_them(tmp_path):
    pytrackmate = pytest.importorskip("pytrackmate")
    session = family()
    path = FORMATS["trackmate"].write(session, tmp_path / "tracks.xml", SCALE).path
    table = pytrackmate.trackmate_peak_import(path, get_tracks=True)
    assert len(table) == 2 + 2 + 2 + 3 + 1
    first = table.iloc[0]
    assert (first.x, first.y, first.t, first.t_stamp) == (14.5 * 0.25, 14.5 * 0.5, 0.0, 0.0)
    assert set(table.t) == {0.0, 5.0, 10.0, 15.0}
    # one family of 1, 2, 3, one of 4, into which 5 is fused
    assert table.label.nunique() == 1


def test_edges_outlines_names_and_units(tmp_path):
    session = family()
    session.objects[5] = replace(session.objects[5], parents=(), label="rare", name='<"mother" & \x07 son>')
    summary = FORMATS["trackmate"].write(session, tmp_path / "tracks.xml", SCALE)
    assert summary.changes == ("TrackMate holds no classes; objects are known by their ids.",)
    root = ElementTree.parse(summary.path).getroot()
    model = root.find("Model")
    assert (model.get("spatialunits"), model.get("timeunits")) == ("µm", "min")
    spots = {one.get("ID"): one for one in model.iter("Spot")}
    assert int(model.find("AllSpots").get("nspots")) == len(spots) == 10
    declared = {one.get("feature") for one in model.find("FeatureDeclarations/SpotFeatures")}
    assert declared <= set(spots["0"].keys())
    where = {key: (int(one.get("FRAME")), int(one.get("OBJECT_ID"))) for key, one in spots.items()}
    edges = [
        {(where[edge.get("SPOT_SOURCE_ID")], where[edge.get("SPOT_TARGET_ID")]) for edge in track}
        for track in model.find("AllTracks")
    ]
    assert edges == [
        {
            ((0, 1), (1, 1)),
            ((2, 2), (3, 2)),
            ((2, 3), (3, 3)),
            ((1, 1), (2, 2)),
            ((1, 1), (2, 3)),
        },
        {((0, 4), (2, 4)), ((2, 4), (3, 4))},
    ]
    divided, gap = model.find("AllTracks")
    assert (divided.get("NUMBER_SPLITS"), gap.get("NUMBER_GAPS")) == ("1", "1")
    assert len(model.find("FilteredTracks")) == 2
    assert [one.get("name") for one in spots.values()][-1] == '<"mother" &  son>'
    outline = np.array(spots["0"].text.split(), float).reshape(-1, 2)
    assert len(outline) == int(spots["0"].get("ROI_N_POINTS")) == 4
    assert np.ptp(outline, axis=0).tolist() == [2.5, 5.0]
    np.testing.assert_allclose(outline.mean(axis=0), 0, atol=1e-9)
    image = root.find("Settings/ImageData")
    assert (image.get("nframes"), image.get("pixelwidth"), image.get("timeinterval")) == ("4", "0.25", "5.0")


def test_what_trackmate_cannot_hold_is_said_or_refused(tmp_path):
    session = family()
    hole = session.mask(1, 0)
    hole[12:14, 12:14] = False
    session.paint(1, 0, hole)
    session.objects[1] = replace(session.objects[1], parents=(5,))
    changes = FORMATS["trackmate"].write(session, tmp_path / "tracks.xml").changes
    assert changes == (
        "1 outline of several parts or with holes became that of the largest part; areas and positions are "
        "those of all of it.",
        "Object 1 was written without a parent that is not visible before it.",
    )
    volume = PaintedSession.of(np.ones((2, 8, 8), np.uint8), axes="ZYX")
    with pytest.raises(InputError, match="planes of a volume, but TrackMate's tracks are of a time-lapse"):
        FORMATS["trackmate"].write(volume, tmp_path / "volume.xml")


def test_stopping_leaves_nothing_and_nothing_is_replaced_unasked(tmp_path):
    session = family()
    steps = FORMATS["trackmate"].steps(session, tmp_path / "tracks.xml", SCALE, False)
    assert next(steps) == 0
    steps.close()
    assert not list(tmp_path.iterdir())
    FORMATS["trackmate"].write(session, tmp_path / "tracks.xml")
    with pytest.raises(InputError, match="exists"):
        FORMATS["trackmate"].write(session, tmp_path / "tracks.xml")
