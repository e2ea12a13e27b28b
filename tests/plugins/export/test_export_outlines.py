"""Outlines for ImageJ, QuPath and YOLO, read back by roifile, shapely and OpenCV."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from painted import PaintedSession
from PIL import Image

import sam2_plugins
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.masks import CompressedMask
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.export.outlines.polygons import polygons_of, ring_area

shapely = pytest.importorskip("shapely")
MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def painted(axes="TYX", stack=None):
    """An object with a hole and a second part, its daughter below it, half of it above."""
    session = PaintedSession.of(np.zeros((3, 40, 60), np.uint8), stack, axes=axes)
    ring = np.zeros((40, 60), bool)
    ring[5:20, 5:20] = True
    ring[9:12, 9:15] = False
    parts = ring.copy()
    parts[20:26, 20:31] = True  # touches the ring in a corner
    session.add(3, "cell")
    session.add(7, "äußere/Zelle", (3,))
    session.add(9)
    session.paint(3, 0, ring)
    session.paint(3, 1, parts)
    session.paint(7, 1, np.roll(ring, 3, axis=1) | ring)
    session.paint(9, 1, np.zeros((40, 60), bool))
    session.paint(9, 0, np.zeros((40, 60), bool))
    session.paint(9, 2, np.ones((40, 60), bool))
    return session


def rasterized(geometry, shape=(40, 60)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return shapely.contains_xy(geometry, columns + 0.5, rows + 0.5)


@settings(deadline=None, max_examples=200)
@given(mask=MASKS)
def test_polygons_are_valid_and_are_the_mask(mask):
    polygons = polygons_of(CompressedMask.from_array(mask))
    parts = [shapely.Polygon(one.exterior, one.holes) for one in polygons]
    assert all(ring_area(one.exterior) > 0 > max(map(ring_area, one.holes), default=-1) for one in polygons)
    assert shapely.MultiPolygon(parts).is_valid
    np.testing.assert_array_equal(rasterized(shapely.MultiPolygon(parts), mask.shape), mask)


@pytest.mark.parametrize(("axes", "plane"), [("TYX", "t"), ("ZYX", "z")])
def test_geojson(tmp_path, axes, plane):
    session = painted(axes)
    summary = FORMATS["geojson"].write(session, tmp_path / "cells.geojson")
    assert (summary.frames, summary.objects) == (3, 3)
    content = json.loads(summary.path.read_text(encoding="utf-8"))
    features = content["features"]
    assert len({one["id"] for one in features}) == len(features) == 4
    seen = []
    for one in features:
        object_id, frame = int(one["properties"]["metadata"]["object_id"]), one["geometry"]["plane"][plane]
        geometry = shapely.from_geojson(json.dumps(one["geometry"]))
        assert geometry.is_valid
        np.testing.assert_array_equal(rasterized(geometry), session.mask(object_id, frame))
        seen.append((frame, object_id, geometry.geom_type))
    assert seen == [(0, 3, "Polygon"), (1, 3, "MultiPolygon"), (1, 7, "Polygon"), (2, 9, "Polygon")]
    assert features[1]["properties"]["classification"]["name"] == "cell"
    assert features[2]["properties"]["metadata"]["parents"] == "3"
    assert "classification" not in features[3]["properties"]
    assert features[0]["properties"]["name"] == "object 3"


@pytest.mark.parametrize(("axes", "along", "other"), [("TYX", "t", "z"), ("ZYX", "z", "t")])
def test_imagej_regions(tmp_path, axes, along, other):
    roifile = pytest.importorskip("roifile")
    session = painted(axes)
    summary = FORMATS["imagej"].write(session, tmp_path / "rois.zip")
    regions = roifile.roiread(summary.path)
    assert [(one.position, one.name) for one in regions] == [
        (1, "object 3"),
        (2, "object 3"),
        (2, "object 7"),
        (3, "object 9"),
    ]
    for one in regions:
        said = dict(line.split(": ") for line in one.props.splitlines())
        object_id = int(said["object_id"])
        assert (getattr(one, f"{along}_position"), getattr(one, f"{other}_position")) == (one.position, 0)
        assert one.stroke_color == bytes((255, *session.objects[object_id].color))
        rings = one.coordinates(multi=True)
        inside = np.logical_xor.reduce([rasterized(shapely.Polygon(ring)) for ring in rings])
        np.testing.assert_array_equal(inside, session.mask(object_id, one.position - 1))
    assert "class: äußere/Zelle\nparents: 3\n" in regions[2].props


def test_names_of_regions_are_names_of_files(tmp_path):
    from dataclasses import replace

    pytest.importorskip("roifile")
    session = painted()
    session.objects[3] = replace(session.objects[3], name="../a\\b:c")
    path = FORMATS["imagej"].write(session, tmp_path / "rois.zip").path
    assert zipfile.ZipFile(path).namelist()[0] == "0001-0003-.._a_b_c.roi"


def test_yolo(tmp_path):
    cv2 = pytest.importorskip("cv2")
    session = painted()
    del session.masks[9, 1]  # unknown between two frames
    summary = FORMATS["yolo"].write(session, tmp_path / "yolo")
    folder = tmp_path / "yolo"
    assert sorted(one.name for one in (folder / "images").iterdir()) == ["000.png", "002.png"]
    assert summary.changes[0].startswith("1 of 3 frames was left out")
    assert "no names and no parents" not in " ".join(summary.changes)
    assert "no parents" in summary.changes[1]
    assert "1 mask of several parts or with holes became one polygon" in summary.changes[2]
    with Image.open(folder / "images/000.png") as image:
        np.testing.assert_array_equal(image, session.frames[0])
    said = pytest.importorskip("yaml").safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert said["names"] == {0: "cell", 1: "object", 2: "äußere/Zelle"}
    (line,) = (folder / "labels/000.txt").read_text().splitlines()
    number, *corners = line.split()
    assert number == "0"
    ring = np.array(corners, float).reshape(-1, 2) * (60, 40)
    drawn = np.zeros((80, 120), np.uint8)  # twice as large: its edges lie between the pixels of the mask
    cv2.fillPoly(drawn, [np.round(ring * 2).astype(np.int32)], 1)
    np.testing.assert_array_equal(drawn[1::2, 1::2].astype(bool)[:19, :19], session.mask(3, 0)[:19, :19])
    with pytest.raises(InputError, match="exists"):
        FORMATS["yolo"].write(session, folder)
    FORMATS["yolo"].write(session, folder, overwrite=True)


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def test_yolo_has_images_of_8_bits_and_refuses_other_channels(tmp_path):
    deep = np.random.default_rng(0).integers(0, 4000, (3, 40, 60), np.uint16)
    summary = FORMATS["yolo"].write(painted(stack=deep), tmp_path / "deep")
    assert "8 bits" in summary.changes[-1]
    assert mode_of(tmp_path / "deep/images/000.png") == "L"
    session = painted()
    session.frames = open_frames(np.zeros((3, 2, 40, 60), np.uint8), axes="TCYX")
    assert "2 channels" in FORMATS["yolo"].why_not(session)
    session.frames = open_frames(np.zeros((3, 40, 60, 3), np.uint8), axes="TYXS")
    FORMATS["yolo"].write(session, tmp_path / "color")
    assert mode_of(tmp_path / "color/images/000.png") == "RGB"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_coco_and_yolo_of_stills_name_their_files(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    folder = tmp_path / "stills"
    folder.mkdir()
    for name in ("mouse.png", "rat.png"):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(folder / name)
    session = painted()
    session.frames = open_frames(folder)
    session.masks = {key: mask for key, mask in session.masks.items() if key[1] < 2}
    path = FORMATS["coco"].write(session, tmp_path / "stills.json").path
    read = coco.COCO(str(path))
    assert [image["file_name"] for image in read.loadImgs([1, 2])] == ["mouse.png", "rat.png"]
    for one in read.loadAnns(read.getAnnIds()):
        np.testing.assert_array_equal(read.annToMask(one), session.mask(one["track_id"], one["image_id"] - 1))
    FORMATS["yolo"].write(session, tmp_path / "yolo")
    assert (tmp_path / "yolo/labels/rat.txt").is_file()
    session.frames = open_frames(folder / "rat.png")
    session.masks = {key: mask for key, mask in session.masks.items() if key[1] < 1}
    path = FORMATS["coco"].write(session, tmp_path / "still.json").path
    assert re.findall(r'"file_name": "([^"]+)"', Path(path).read_text()) == ["rat.png"]


def test_names_that_java_cannot_count_are_replaced_and_said(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile")
    session = sam2_plugins.AnnotationSession(np.zeros((1, 40, 60), np.uint8), sam2_plugins.ModelStore("cpu"))
    session.add_object('a/b \U0001f600 "q"\nnew, line')
    session.import_masks(0, {1: np.pad(np.ones((9, 9), bool), ((5, 26), (5, 46)))})
    summary = FORMATS["imagej"].write(session, tmp_path / "rois.zip")
    assert any("signs that regions of ImageJ cannot hold" in one for one in summary.changes)
    (region,) = roifile.roiread(tmp_path / "rois.zip")
    assert region.name == 'a/b \ufffd "q" new, line'
    assert "object_id: 1\n" in region.props


def test_the_time_of_a_volume_is_that_of_its_file(tmp_path: Path) -> None:
    stack = np.zeros((4, 3, 40, 60), np.uint8)
    tifffile.imwrite(tmp_path / "tz.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    with sam2_plugins.open(tmp_path / "tz.tif", fixed={"T": 2}, keep=False, device="cpu") as work:
        work.annotation.import_masks(1, {1: np.ones((40, 60), bool)})
        work.export(tmp_path / "t2.geojson")
    (feature,) = json.loads((tmp_path / "t2.geojson").read_text())["features"]
    assert feature["geometry"]["plane"] == {"c": -1, "z": 1, "t": 2}


def test_a_class_of_any_signs_is_read_back_from_the_description_of_a_yolo_folder(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    session = sam2_plugins.AnnotationSession(np.zeros((1, 40, 60), np.uint8), sam2_plugins.ModelStore("cpu"))
    session.add_object(label='\U0001f600: "q" #x')
    session.import_masks(0, {1: np.pad(np.ones((9, 9), bool), ((5, 26), (5, 46)))})
    folder = FORMATS["yolo"].write(session, tmp_path / "yolo").path
    said = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    # Without a path, images are looked for beside the description, wherever a training is started.
    assert said == {"train": "images", "val": "images", "names": {0: '\U0001f600: "q" #x'}}
