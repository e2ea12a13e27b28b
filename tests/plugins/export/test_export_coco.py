"""COCO JSON, its masks read back by the decoder that is tested against COCO's own example."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_engine.masks import compress_rle, decode_rle
from sam2_plugins.export.coco import write_coco


def overlapping():
    """Two objects, the second half above the first; the first is absent on frame 2."""
    session = PaintedSession.of(np.zeros((4, 20, 30), np.uint8))
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 2:12, 3:12], masks[1, 5:15, 8:28] = True, True
    session.add(5, "cell")
    session.add(2**33, None, (5,))
    for frame in range(2):
        session.paint(5, frame, masks[0])
    session.paint(5, 2, np.zeros((20, 30), bool))
    session.paint(2**33, 1, masks[1])
    return session, masks


def test_masks_tracks_and_classes(tmp_path):
    session, masks = overlapping()
    write_coco(session, tmp_path / "masks.json")
    content = json.loads((tmp_path / "masks.json").read_text())
    assert [image["frame_index"] for image in content["images"]] == [0, 1, 2, 3]
    assert {one["id"]: one["name"] for one in content["categories"]} == {1: "cell", 2: "object"}
    assert [(one["id"], one["category_id"], one["parents"]) for one in content["tracks"]] == [
        (5, 1, []),
        (2**33, 2, [5]),
    ]
    seen = [(one["image_id"], one["track_id"]) for one in content["annotations"]]
    assert seen == [(1, 5), (2, 5), (2, 2**33)]
    first, _, last = content["annotations"]
    np.testing.assert_array_equal(decode_rle(first["segmentation"]), masks[0])
    np.testing.assert_array_equal(decode_rle(last["segmentation"]), masks[1])
    assert (last["area"], last["bbox"]) == (200, [8, 5, 20, 10])
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3]


@settings(deadline=None)
@given(counts=st.lists(st.integers(0, 70_000), max_size=20))
def test_compression_is_undone_by_the_decoder(counts):
    runs = compress_rle({"size": [1, sum(counts)], "counts": counts})
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    np.testing.assert_array_equal(decode_rle(runs), values[None])


def test_the_example_of_cocos_own_sources():
    text = "61X13mN000`0"
    mask = decode_rle({"size": [9, 10], "counts": text})
    counts = [6, 1, 40, 4, 5, 4, 5, 4, 21]
    assert sum(counts[1::2]) == mask.sum()
    assert compress_rle({"size": [9, 10], "counts": counts})["counts"] == text


def test_stopping_leaves_nothing_and_nothing_is_replaced_unasked(tmp_path):
    session, _ = overlapping()
    steps = write_coco.steps(session, tmp_path / "masks.json")
    assert next(steps) == 0
    steps.close()
    assert not list(tmp_path.iterdir())
    write_coco(session, tmp_path / "masks.json")
    with pytest.raises(InputError, match="exists; choose another name"):
        write_coco(session, tmp_path / "masks.json")
    write_coco(session, tmp_path / "masks.json", overwrite=True)
