import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import distance_transform_edt
from skimage.draw import ellipse, polygon2mask

from labelstudio_backend.schema.brush_rle import decode_brush_rle
from labelstudio_backend.schema.contours import component_polygon, large_components
from labelstudio_backend.schema.labeling_config import ControlTag
from labelstudio_backend.schema.mask_regions import mask_regions


def control(kind: str, **more: Any) -> ControlTag:
    return ControlTag(kind, "tag", "image", ("Ball", "Box"), **more)


def regions(mask: np.ndarray, kind: str, tolerance: float = 1.0) -> list[dict[str, Any]]:
    return mask_regions(mask, control(kind), ["Box"], 0.75, tolerance)


def inside_polygon(points: list[list[float]], shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centers lie in a polygon given in percent."""
    height, width = shape
    corners = np.array([[y * height / 100 - 0.5, x * width / 100 - 0.5] for x, y in points])
    found: np.ndarray = polygon2mask(shape, corners)
    return found


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@st.composite
def blobs(draw: st.DrawFn) -> np.ndarray:
    """One connected part: ellipses about one point, perhaps with a hole."""
    height, width = draw(st.integers(30, 120)), draw(st.integers(30, 120))
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(draw(st.integers(1, 3))):
        size = st.floats(3, 40)
        rows, columns = ellipse(
            height // 2, width // 2, draw(size), draw(size), (height, width), draw(st.floats(0, 3))
        )
        mask[rows, columns] = True
    if draw(st.booleans()):
        mask[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1] = False
    return mask


@pytest.mark.parametrize(
    "kind",
    ["BrushLabels", "BitmaskLabels", "PolygonLabels", "VectorLabels", "RectangleLabels", "EllipseLabels"],
)
def test_a_region_is_complete(kind: str) -> None:
    mask = np.zeros((6, 9), dtype=bool)
    mask[2:4, 3:8] = True
    (region,) = regions(mask, kind)
    assert (region["from_name"], region["to_name"], region["type"]) == ("tag", "image", kind.lower())
    assert (region["original_width"], region["original_height"], region["image_rotation"]) == (9, 6, 0)
    assert region["value"][kind.lower()] == ["Box"]
    assert region["score"] == 0.75
    assert "meta" not in region


def test_a_tag_without_labels_is_named_by_the_labels_beside_it() -> None:
    mask = np.ones((4, 4), dtype=bool)
    shape, named = mask_regions(mask, control("Rectangle", labeled_by="kinds"), ["Box"], 0.5, 1)
    assert shape["id"] == named["id"]
    assert (shape["type"], named["type"], named["from_name"]) == ("rectangle", "labels", "kinds")
    assert named["value"]["labels"] == ["Box"]
    assert {**shape["value"], "labels": ["Box"]} == named["value"]
    (alone,) = mask_regions(mask, control("Rectangle"), ["Box"], 0.5, 1)
    assert "labels" not in alone["value"]


def test_a_brush_and_a_bitmask_hold_every_pixel() -> None:
    mask = np.random.default_rng(0).random((23, 31)) < 0.4
    (brush,), (bitmask,) = regions(mask, "BrushLabels"), regions(mask, "BitmaskLabels")
    np.testing.assert_array_equal(decode_brush_rle(brush["value"]["rle"], mask.shape), mask)
    head, data = bitmask["value"]["imageDataURL"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha, np.where(mask, 255, 0))


def test_a_rectangle_runs_along_the_outer_edges_of_its_pixels() -> None:
    mask = np.zeros((50, 200), dtype=bool)
    mask[10:20, 40:60] = True
    (region,) = regions(mask, "RectangleLabels")
    value = {key: region["value"][key] for key in ("x", "y", "width", "height", "rotation")}
    assert value == pytest.approx({"x": 20, "y": 20, "width": 10, "height": 20, "rotation": 0})


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_an_ellipse_is_found_again(angle: float) -> None:
    mask = np.zeros((120, 200), dtype=bool)
    # skimage turns anticlockwise, from a first radius along the rows.
    rows, columns = ellipse(60, 90, 15, 40, rotation=-np.radians(angle))
    mask[rows, columns] = True
    mask[2:4, 190:193] = True  # a small component, which must not count
    (region,) = regions(mask, "EllipseLabels")
    value = region["value"]
    assert (value["x"], value["y"]) == pytest.approx((100 * 90.5 / 200, 100 * 60.5 / 120), abs=0.1)
    assert (value["radiusX"] * 2, value["radiusY"] * 1.2) == pytest.approx((40, 15), abs=0.6)
    assert min(abs(value["rotation"] - angle), 180 - abs(value["rotation"] - angle)) < 1


@settings(max_examples=60, deadline=None)
@given(mask=blobs(), tolerance=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_no_part_of_a_contour_is_further_off_than_the_tolerance(mask: np.ndarray, tolerance: float) -> None:
    (corner, part), *_ = large_components(mask)
    exact, simplified = (
        component_polygon(corner, part, 0).vertices,
        component_polygon(corner, part, tolerance).vertices,
    )
    assert len(simplified) <= len(exact)
    ends = np.roll(simplified, -1, axis=0)
    along = ends - simplified
    # The distance of every corner of the exact contour to the nearest side of the simplified one.
    offset = exact[:, None] - simplified[None]
    place = ((offset * along).sum(2) / np.maximum((along**2).sum(1), 1e-12)).clip(0, 1)
    distances = np.linalg.norm(offset - place[..., None] * along, axis=2).min(axis=1)
    assert distances.max() <= tolerance + 1e-9


@settings(max_examples=40, deadline=None)
@given(mask=blobs())
def test_a_polygon_covers_the_mask(mask: np.ndarray) -> None:
    (region,) = regions(mask, "PolygonLabels", tolerance=0)
    covered = inside_polygon(region["value"]["points"], mask.shape)
    (corner, part), *_ = large_components(mask)
    filled = inside_polygon(
        (component_polygon(corner, part, 0).vertices * (100 / mask.shape[1], 100 / mask.shape[0])).tolist(),
        mask.shape,
    )
    np.testing.assert_array_equal(covered, filled)
    assert not (mask & ~covered).any()
    # What is covered and not in the mask lies in a hole: not beside the contour.
    outside = distance_transform_edt(np.pad(~mask, 1, constant_values=True))[1:-1, 1:-1]
    assert not (covered & ~mask & (outside > 2)).any()


def test_a_polygon_says_which_holes_it_cannot_show() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:50, 10:50] = True
    mask[20:23, 20:24] = mask[40, 40] = False
    (region,) = regions(mask, "PolygonLabels")
    assert region["meta"]["text"] == ["2 holes of 13 pixels cannot be shown in a polygon."]
    assert region["value"]["closed"] is True


def test_each_component_of_an_object_is_a_polygon_and_says_so() -> None:
    mask = np.zeros((60, 90), dtype=bool)
    mask[10:50, 5:40] = mask[20:40, 50:80] = mask[2, 2] = True
    first, second = regions(mask, "PolygonLabels")
    assert [r["meta"]["text"] for r in (first, second)] == [
        ["Part 1 of 2 of one object."],
        ["Part 2 of 2 of one object."],
    ]
    assert first["id"] != second["id"]
    covered = inside_polygon(first["value"]["points"], mask.shape) | inside_polygon(
        second["value"]["points"], mask.shape
    )
    mask[2, 2] = False
    assert iou(covered, mask) > 0.97


@pytest.mark.parametrize("tolerance", [0, 1, 50])
def test_something_tiny_is_still_a_polygon(tolerance: float) -> None:
    for shape in ((1, 1), (1, 9), (2, 2)):
        mask = np.zeros((20, 20), dtype=bool)
        mask[5 : 5 + shape[0], 7 : 7 + shape[1]] = True
        (region,) = regions(mask, "PolygonLabels", tolerance)
        assert len(region["value"]["points"]) >= 3
        x, y = np.array(region["value"]["points"]).T
        assert abs((x * np.roll(y, 1) - y * np.roll(x, 1)).sum()) > 0


def test_a_mask_over_the_whole_image_stays_in_it() -> None:
    mask = np.ones((40, 30), dtype=bool)
    for kind in ("PolygonLabels", "RectangleLabels"):
        (region,) = regions(mask, kind)
        numbers = np.array(region["value"].get("points") or [0, region["value"]["width"]])
        assert numbers.min() >= 0
        assert numbers.max() <= 100


def test_a_vector_is_the_closed_path_of_the_polygon() -> None:
    mask = np.zeros((6, 9), dtype=bool)
    mask[2:4, 3:8] = True
    (polygon,), (vector,) = regions(mask, "PolygonLabels"), regions(mask, "VectorLabels")
    vertices = vector["value"]["vertices"]
    assert [[vertex["x"], vertex["y"]] for vertex in vertices] == polygon["value"]["points"]
    assert [vertex["prevPointId"] for vertex in vertices[1:]] == [vertex["id"] for vertex in vertices[:-1]]
    assert vertices[0]["prevPointId"] == vertices[-1]["id"]
    assert vector["value"]["closed"] is True
