import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelstudio_backend.schema.brush_rle import decode_brush_rle, encode_brush_rle
from sam2_engine.errors import InputError

REQUESTS = Path(__file__).parents[1] / "data" / "requests"


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_unpacking_gives_back_what_was_packed(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_brush_rle(encode_brush_rle(mask), mask.shape), mask)


@pytest.mark.parametrize("inside", [False, True])
def test_runs_longer_than_one_block_can_hold(inside: bool) -> None:
    mask = np.full((300, 200), inside)
    mask[299, 199] = not inside
    np.testing.assert_array_equal(decode_brush_rle(encode_brush_rle(mask), mask.shape), mask)


def test_a_brush_that_label_studio_stored() -> None:
    request = json.loads((REQUESTS / "webhook_annotation_created_brush.json").read_text())["json"]
    regions = [r for r in request["annotation"]["result"] if r["type"] == "brushlabels"]
    assert len(regions) == 3
    for region in regions:
        mask = decode_brush_rle(region["value"]["rle"], (480, 640))
        assert 0 < mask.sum() < mask.size
        np.testing.assert_array_equal(decode_brush_rle(encode_brush_rle(mask), mask.shape), mask)


def _sequence_block(values: list[int]) -> list[int]:
    """Pack values as one block without runs, with lengths of 4, 5, 6 and 7 bits."""
    bits = f"{len(values):032b}{7:05b}{3:04b}{4:04b}{5:04b}{6:04b}" + f"011{len(values) - 1:07b}"
    bits += "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_blocks_without_runs_and_the_alpha_channel_decides() -> None:
    packed = _sequence_block([9, 9, 9, 0, 0, 0, 0, 3, 255, 255, 255, 255])
    assert decode_brush_rle(packed, (1, 3)).tolist() == [[False, True, True]]


@given(st.lists(st.integers(-300, 300), max_size=60))
def test_noise_is_refused_with_a_sentence(packed: list[int]) -> None:
    with pytest.raises(InputError, match="5 wide and 4 high"):
        decode_brush_rle(packed, (4, 5))


def test_a_truncated_stream_is_refused() -> None:
    packed = encode_brush_rle(np.eye(8, dtype=bool))
    with pytest.raises(InputError, match="rle"):
        decode_brush_rle(packed[:-4], (8, 8))
    with pytest.raises(InputError, match="rle"):
        decode_brush_rle(packed, (8, 7))
