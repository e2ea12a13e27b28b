"""Files of prompts: what is valid is placed, what is not is named."""

import json

import numpy as np
import pytest
import tifffile

from sam2_engine.errors import InputError
from sam2_plugins.importing.prompts import place_labels, place_prompts, read_label_image, read_prompts

SHAPE, LENGTH = (60, 80), 8


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "prompts.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def test_a_valid_file_is_placed_in_its_order(write, session):
    entries = read_prompts(
        write(
            [
                {"frame": 0, "object_id": 3, "points": [[20, 20], [70, 5]], "labels": [1, 0]},
                {"frame": 2, "object_id": 1, "box": [50, 28, 70, 48]},
                {"frame": 4, "object_id": 3, "points": [[28, 20]], "box": [18, 10, 38, 30]},
            ]
        ),
        SHAPE,
        LENGTH,
    )
    place_prompts(session, entries)
    assert sorted(session.objects) == [1, 3]
    (clicks,) = session.prompts_of(3)[0]
    np.testing.assert_array_equal(clicks.points.coordinates, [[20, 20], [70, 5]])
    np.testing.assert_array_equal(clicks.points.labels, [1, 0])
    (both,) = session.prompts_of(3)[4]
    assert both.box.x1 == 38
    np.testing.assert_array_equal(both.points.labels, [1])
    assert list(session.prompts_of(1)) == [2]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{not json", "is not JSON: line 1, column 2"),
        ("", "is not JSON"),
        ('[{"frame": 0, "object_id": 1, "points": [[1, 1]], "points": [[9, 9]]}]', "'points' is given twice"),
        ({"frame": 0}, "must be a list"),
        ([], "at least one entry"),
        ([3], "entry 1: an entry is"),
        ([{"frame": 0, "object_id": 1, "points": [[1, 1]]}, {"frames": 0}], "entry 2: unknown key 'frames'"),
        ([{"object_id": 1, "points": [[1, 1]]}], "entry 1: 'frame' is missing"),
        ([{"frame": 0, "points": [[1, 1]]}], "'object_id' is missing"),
        ([{"frame": 8, "object_id": 1, "points": [[1, 1]]}], "no frame 8; the frames are 0 to 7"),
        ([{"frame": -1, "object_id": 1, "points": [[1, 1]]}], "'frame' must be a whole number from 0 on"),
        ([{"frame": 0.5, "object_id": 1, "points": [[1, 1]]}], "'frame' must be a whole number"),
        ([{"frame": True, "object_id": 1, "points": [[1, 1]]}], "'frame' must be a whole number"),
        ([{"frame": 0, "object_id": 0, "points": [[1, 1]]}], "'object_id' must be a whole number from 1 on"),
        ([{"frame": 0, "object_id": "1", "points": [[1, 1]]}], "'object_id' must be a whole number"),
        ([{"frame": 0, "object_id": 1}], "neither points nor a box"),
        (
            [{"frame": 0, "object_id": 1, "box": [1, 1, 9, 9], "labels": [1]}],
            "labels are given without points",
        ),
        ([{"frame": 0, "object_id": 1, "points": [[1, 1]], "labels": [2]}], r"label is 1 .* or 0"),
        ([{"frame": 0, "object_id": 1, "points": [[1, 1]], "labels": [1, 0]}], "1 point but 2 labels"),
        ([{"frame": 0, "object_id": 1, "points": [[90, 1]]}], "outside the frame"),
        ([{"frame": 0, "object_id": 1, "points": [[1, "a"]]}], "must be numbers"),
        ([{"frame": 0, "object_id": 1, "points": [1, 2, 3]}], "pairs"),
        ([{"frame": 0, "object_id": 1, "box": [5, 5, 4, 9]}], "less than one pixel"),
        ([{"frame": 0, "object_id": 1, "box": [5, 5, 9]}], "not 3 numbers"),
        ([{"frame": 0, "object_id": 1, "points": [[float("nan"), 1]]}], "finite"),
    ],
)
def test_each_fault_is_one_sentence_that_names_the_entry(write, content, sentence):
    path = write(content)
    with pytest.raises(InputError, match=sentence) as caught:
        read_prompts(path, SHAPE, LENGTH)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_files_of_any_editor(tmp_path, encoding):
    (tmp_path / "p.json").write_bytes(
        '[{"frame": 0, "object_id": 1, "points": [[9, 9]]}]\r\n'.encode(encoding)
    )
    assert len(read_prompts(tmp_path / "p.json", SHAPE, LENGTH)) == 1


def test_a_missing_or_binary_file_of_prompts(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_prompts(tmp_path / "none.json", SHAPE, LENGTH)
    (tmp_path / "binary.json").write_bytes(b"\xff\x00\x80")
    with pytest.raises(InputError, match="not text"):
        read_prompts(tmp_path / "binary.json", SHAPE, LENGTH)


def test_a_label_image_becomes_one_object_per_value(session, tmp_path, disc_mask):
    labels = np.where(disc_mask, 7, 0).astype(np.uint16)
    labels[50:, 60:] = 300
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    place_labels(session, 2, read_label_image(tmp_path / "labels.tif", SHAPE))
    assert sorted(session.objects) == [7, 300]
    np.testing.assert_array_equal(session.mask(7, 2), disc_mask)
    np.testing.assert_array_equal(session.mask(300, 2), labels == 300)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((60, 80), np.uint8), "no object in it"),
        (np.ones((60, 81), np.uint8), "81 wide and 60 high, but the frames are 80 wide and 60 high"),
        (np.full((60, 80), 0.5, np.float32), "not whole numbers"),
        (np.ones((3, 60, 80), np.uint16), "must be one label image"),
        (np.full((60, 80), -1, np.int16), "no object in it"),
    ],
)
def test_label_images_that_cannot_be_masks(tmp_path, labels, sentence):
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, labels, photometric="minisblack")
    with pytest.raises(InputError, match=sentence):
        read_label_image(path, SHAPE)
