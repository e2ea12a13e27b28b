"""What is exported and imported again is the same; what cannot be imported is refused with one sentence."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_plugins.export.cell_tracking import write_cell_tracking_ground_truth, write_cell_tracking_result
from sam2_plugins.export.coco import write_coco
from sam2_plugins.export.label_tiff import write_label_tiff
from sam2_plugins.export.ome_zarr_labels import write_ome_zarr_labels
from sam2_plugins.importing.masks import ImportedObject, open_masks

SHAPE, LENGTH = (16, 20), 4
WRITERS = {
    "labels.tif": write_label_tiff,
    "labels.ome.tif": write_label_tiff,
    "labels.zarr": write_ome_zarr_labels,
    "masks.json": write_coco,
    "01_RES": write_cell_tracking_result,
    "01_GT": write_cell_tracking_ground_truth,
}


@st.composite
def families(draw, largest=2**32 - 1):
    """Labels without overlap or gaps; some objects come from one that has ended before."""
    ids = draw(st.lists(st.integers(1, largest), min_size=1, max_size=5, unique=True))
    spans = {i: sorted(draw(st.tuples(*[st.integers(0, LENGTH - 1)] * 2))) for i in ids}
    labels = np.zeros((LENGTH, *SHAPE), np.uint32)
    for place, (object_id, (first, last)) in enumerate(spans.items()):
        for frame in range(first, last + 1):
            rows = draw(st.integers(1, 16))
            labels[frame, :rows, 4 * place + frame % 2 : 4 * place + 3] = object_id
    parents = {}
    for child in ids:
        earlier = [i for i in ids if spans[i][1] < spans[child][0]]
        if earlier and draw(st.booleans()):
            parents[child] = (draw(st.sampled_from(earlier)),)
    return labels, parents


def read(source, shape=SHAPE, length=LENGTH, **options):
    """Return the labels, as far as they do not overlap, and the objects."""
    with open_masks(source, shape, length, **options) as masks:
        objects = masks.scan()
        labels = np.zeros((length, *shape), np.uint32)
        for frame, there in masks:
            for object_id, mask in there.items():
                assert mask.dtype == bool
                labels[frame][mask] = object_id
    return labels, {one.id: one for one in objects}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_export_and_import_is_the_identity(tmp_path, name, data):
    labels, parents = data.draw(families(65_535 if name.startswith("01") else 2**32 - 1))
    session = PaintedSession.of(labels, parents=parents)
    WRITERS[name](session, tmp_path / name, overwrite=True)
    found, objects = read(tmp_path / name)
    np.testing.assert_array_equal(found, labels)
    assert set(objects) == set(session.objects)
    if not name.endswith(".tif"):
        assert {i: one.parents for i, one in objects.items() if one.parents} == parents


@pytest.mark.parametrize("name", ["labels.zarr", "masks.json"])
def test_names_and_classes_are_kept(tmp_path, name):
    labels = np.zeros((LENGTH, *SHAPE), np.uint8)
    labels[:, :5, :5], labels[:, 8:, 8:] = 1, 2
    session = PaintedSession.of(labels)
    session.add(1, "nucleus")
    WRITERS[name](session, tmp_path / name)
    _, objects = read(tmp_path / name)
    assert objects == {1: ImportedObject(1, "object 1", "nucleus"), 2: ImportedObject(2, "object 2")}


def test_coco_keeps_overlaps(tmp_path):
    session = PaintedSession.of(np.zeros((LENGTH, *SHAPE), np.uint8))
    whole, half = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    half[:8] = True
    for object_id, mask in ((1, whole), (2, half)):
        session.add(object_id)
        session.paint(object_id, 3, mask)
    write_coco(session, tmp_path / "masks.json")
    with open_masks(tmp_path / "masks.json", SHAPE, LENGTH) as masks:
        found = dict(masks)
    assert list(found) == [0, 1, 2, 3]
    np.testing.assert_array_equal(found[3][1], whole)
    np.testing.assert_array_equal(found[3][2], half)
    assert not found[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint64, np.float32, np.float64])
def test_any_array_of_whole_numbers(dtype):
    labels = np.zeros((LENGTH, *SHAPE), dtype)
    labels[1, 3:6, 3:6] = 120
    found, objects = read(labels)
    np.testing.assert_array_equal(found, labels)
    assert objects == {120: ImportedObject(120)}


def test_one_label_image_for_one_frame_and_a_lazy_array():
    labels = np.zeros(SHAPE, np.int32)
    labels[3:6, 3:6] = 7
    found, _ = read(labels, frame=2)
    assert [np.unique(one).tolist() for one in found] == [[0], [0], [0, 7], [0]]
    with open_masks(labels, SHAPE, LENGTH, frame=2) as masks:
        ((frame, there),) = masks
        assert (frame, list(there)) == (2, [7])
        with pytest.raises(KeyError):
            there[8]
    array = zarr.array(np.stack([labels] * LENGTH), chunks=(1, *SHAPE))
    assert (read(array)[0] == labels).all()


def test_labels_within_an_ome_zarr_image(tmp_path):
    labels = np.zeros((LENGTH, *SHAPE), np.uint16)
    labels[:, 3:6, 3:6] = 7
    image = zarr.create_group(tmp_path / "image.zarr")
    group = image.create_group("labels")
    group.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    write_ome_zarr_labels(PaintedSession.of(labels), tmp_path / "image.zarr" / "labels" / "cells")
    np.testing.assert_array_equal(read(tmp_path / "image.zarr")[0], labels)
    np.testing.assert_array_equal(read(tmp_path / "image.zarr" / "labels")[0], labels)
    group.attrs["ome"] = {"version": "0.5", "labels": ["cells", "nuclei"]}
    with pytest.raises(InputError, match="several label images"):
        read(tmp_path / "image.zarr")


def wrong_value(value, dtype):
    labels = np.zeros((LENGTH, *SHAPE), dtype)
    labels[2, 4, 4] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (wrong_value(2**32, np.uint64), "ids go up to 4294967295"),
        (wrong_value(2.0**40, np.float64), "ids go up to 4294967295"),
        (wrong_value(1e30, np.float64), "no ids"),
        (wrong_value(-1, np.int32), "below 0"),
        (wrong_value(0.5, np.float32), "not whole numbers"),
        (np.zeros((3, *SHAPE), np.uint8), "has 3 frames, but the stack has 4 frames"),
        (np.zeros(SHAPE, np.uint8), "say which frame"),
        (np.zeros((LENGTH, 16, 21), np.uint8), "is 21 wide and 16 high, but the frames are 20 wide"),
        (np.zeros((2, LENGTH, *SHAPE), np.uint8), "axes"),
        ("nowhere.tif", "cannot be opened"),
    ],
)
def test_what_cannot_be_taken(labels, sentence):
    with pytest.raises(InputError, match=sentence):
        read(labels)


def test_values_that_are_no_numbers():
    with pytest.raises(InputError, match="no ids"):  # and nothing is said of dark pixels
        read(wrong_value(np.nan, np.float32))


def test_a_frame_that_is_not_there():
    with pytest.raises(InputError, match="no frame 4"):
        read(np.zeros(SHAPE, np.uint8), frame=4)
    labels = np.zeros((LENGTH, *SHAPE), np.uint8)  # of all frames, which need no place
    labels[:, 3, 4] = 1, 2, 3, 4
    np.testing.assert_array_equal(read(labels, frame=1)[0], labels)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("1 0 3", "line 1: a track is four"),
        ("1 0 3 0\n\n2 0 x 0", "line 3"),
        ("1 0 3 9", "parent 9 of track 1"),
    ],
)
def test_damaged_track_files(tmp_path, lines, sentence):
    for frame in range(LENGTH):
        tifffile.imwrite(tmp_path / f"mask{frame:03}.tif", np.ones(SHAPE, np.uint16))
    (tmp_path / "res_track.txt").write_text(lines)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path)


def test_a_missing_label_image(tmp_path):
    for frame in (0, 1, 3, 4):
        tifffile.imwrite(tmp_path / f"mask{frame:03}.tif", np.ones(SHAPE, np.uint16))
    (tmp_path / "res_track.txt").write_text("1 0 4 0\n", encoding="utf-8-sig")
    with pytest.raises(InputError, match="one is missing"):
        read(tmp_path)


def coco(**changes):
    run = {"size": list(SHAPE), "counts": [0, 4, 316]}
    image = {"id": 1, "file_name": "a.png", "height": 16, "width": 20}
    return {
        "images": [{**image, "id": i + 1, "file_name": f"{10 * i}.png"} for i in range(LENGTH)],
        "annotations": [{"id": 5, "image_id": 2, "segmentation": run, "category_id": 1}],
        "categories": [{"id": 1, "name": "cell"}],
        **changes,
    }


def test_plain_coco_of_another_tool(tmp_path):
    content = coco()
    more = {"size": list(SHAPE), "counts": [8, 4, 308]}
    content["annotations"] += [{"id": 5, "image_id": 2, "segmentation": more, "category_id": 1}]
    (tmp_path / "masks.json").write_text(json.dumps(content), encoding="utf-8-sig")
    found, objects = read(tmp_path / "masks.json")
    assert objects == {5: ImportedObject(5, None, "cell")}
    assert np.argwhere(found).tolist() == [[1, row, 0] for row in (0, 1, 2, 3, 8, 9, 10, 11)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "not COCO JSON"),
        (coco(annotations=[{"id": 1, "image_id": 1, "segmentation": [[0, 0, 1, 1, 2, 0]]}]), "polygons"),
        (coco(annotations=[{"id": 1, "image_id": 9, "segmentation": {"size": [16, 20]}}]), "not COCO JSON"),
        (coco(annotations=[{"id": 0, "image_id": 1, "segmentation": {"size": [16, 20]}}]), "id 0"),
        (coco(annotations=[{"id": 1, "image_id": 1, "segmentation": {"size": [9, 9]}}]), "in size"),
        (
            coco(annotations=[{"id": 1, "image_id": 1, "segmentation": {"size": [16, 20], "counts": [3]}}]),
            "not COCO JSON",
        ),
    ],
)
def test_damaged_coco(tmp_path, content, sentence):
    (tmp_path / "masks.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=sentence):
        read(tmp_path / "masks.json")
