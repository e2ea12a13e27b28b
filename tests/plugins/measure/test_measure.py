"""What is measured agrees with shapes whose measures are known."""

import csv

import numpy as np
import pytest
from painted import PaintedSession
from skimage.draw import ellipse
from skimage.measure import regionprops

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.measure import PhysicalScale, measure
from sam2_plugins.session.readable import run_to_end

MICRONS = PhysicalScale((0.5, 0.5), "um", 30.0, "s")


def moving_square(frames=4, step=3):
    labels = np.zeros((frames, 40, 50), np.uint16)
    for t in range(frames):
        labels[t, 10:20, 5 + step * t : 15 + step * t] = 7
    return labels


def test_a_square_in_micrometres():
    table = measure(PaintedSession.of(moving_square()), MICRONS)
    assert len(table) == 4
    assert table["area"] == (25.0,) * 4
    assert table["centroid_x"] == (4.75, 6.25, 7.75, 9.25)  # mean of pixels 5..14 is 9.5
    assert table["centroid_y"] == (7.25,) * 4
    assert table["time"] == (0.0, 30.0, 60.0, 90.0)
    assert table["speed"] == (None, *[pytest.approx(1.5 / 30)] * 3)
    assert table["equivalent_diameter"][0] == pytest.approx(2 * np.sqrt(25 / np.pi))
    assert table["solidity"][0] == pytest.approx(1)
    assert {column.name: column.header for column in table.columns}["speed"] == "speed (µm/s)"
    assert {column.name: column.header for column in table.columns}["area"] == "area (µm²)"


def test_shapes_are_those_of_scikit_image():
    mask = np.zeros((1, 60, 80), np.uint8)
    mask[0][ellipse(30, 40, 10, 25, rotation=0.4)] = 1
    table = measure(PaintedSession.of(mask))
    (region,) = regionprops(mask[0])
    expected = {
        "perimeter": region.perimeter,
        "eccentricity": region.eccentricity,
        "major_axis": region.axis_major_length,
        "minor_axis": region.axis_minor_length,
        "orientation": region.orientation,
        "solidity": region.solidity,
        "equivalent_diameter": region.equivalent_diameter_area,
    }
    assert {name: table[name][0] for name in expected} == pytest.approx(expected)


def test_pixels_need_not_be_square():
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 5:25, 10:20] = 1  # 20 rows of 0.5 and 10 columns of 1: a square
    table = measure(PaintedSession.of(labels), PhysicalScale((0.5, 1.0), "mm"))
    assert table["area"] == (100.0,)
    assert table["centroid_y"] == (14.5 * 0.5,)
    assert table["eccentricity"][0] < 0.1
    assert table["perimeter"] == (None,)


@pytest.mark.parametrize(("channels", "names"), [(3, ("_red", "_green", "_blue")), (2, ("_c0", "_c1"))])
def test_intensities_of_each_channel(channels, names):
    labels = moving_square(2)
    stack = np.random.default_rng(1).integers(0, 60000, (*labels.shape, channels)).astype(np.uint16)
    axes = "TYXS" if channels == 3 else "TYXC"
    table = measure(PaintedSession.of(labels, stack, axes=axes))
    for channel, name in enumerate(names):
        inside = stack[1, ..., channel][labels[1] == 7].astype(int)
        assert table[f"mean_intensity{name}"][1] == pytest.approx(inside.mean())
        assert table[f"min_intensity{name}"][1] == inside.min()
        assert table[f"max_intensity{name}"][1] == inside.max()
        assert table[f"sum_intensity{name}"][1] == inside.sum()


def test_pixels_that_are_not_finite_do_not_count():
    labels = np.ones((1, 2, 2), np.uint8)
    stack = np.array([[[1.0, np.nan], [3.0, np.inf]]], np.float32)
    with pytest.warns(match="NaN or infinite"):
        table = measure(PaintedSession.of(labels, stack))
    assert (table["mean_intensity"], table["sum_intensity"]) == ((2.0,), (4.0,))


def test_an_absent_object_has_a_row_and_speed_goes_over_the_gap():
    session = PaintedSession.of(moving_square(4))
    session.paint(7, 1, np.zeros((40, 50), bool))
    del session.masks[7, 2]
    table = measure(session)
    assert table["frame"] == (0, 1, 3)
    assert table["area"] == (100.0, 0.0, 100.0)
    assert table["centroid_x"][1] is None
    assert table["mean_intensity"][1] is None
    assert table["speed"] == (None, None, pytest.approx(3.0))


def test_a_volume_has_planes_and_no_speed():
    session = PaintedSession.of(moving_square(), axes="ZYX")
    table = measure(session, PhysicalScale((0.5, 0.5), "µm", plane_spacing=2.0))
    assert table["z"] == (0.0, 2.0, 4.0, 6.0)
    names = [column.name for column in table.columns]
    assert "speed" not in names
    assert "time" not in names


class CountedFrames:
    def __init__(self, pixels):
        self.pixels, self.shape, self.dtype, self.reads = pixels, pixels.shape, pixels.dtype, []

    def __getitem__(self, index):
        self.reads.append(index[0])
        return self.pixels[index]


def test_every_frame_is_read_once_and_only_when_it_is_its_turn():
    labels = moving_square(5)
    labels[:, 30:35, 30:35] = 9
    labels[3] = 0
    counted = CountedFrames(np.zeros(labels.shape, np.uint8))
    session = PaintedSession.of(labels, counted)
    steps = measure.steps(session)
    assert next(steps) == 0
    assert counted.reads == [0]
    assert len(run_to_end(steps)) == 8
    assert counted.reads == [0, 1, 2, 4]
    assert len(measure(session, intensity=False)) == 8
    assert counted.reads == [0, 1, 2, 4]


@pytest.mark.parametrize("crop", [(1, 1), (1, 5), (3, 1), (2, 2)])
def test_the_smallest_masks_are_measured_without_a_warning(crop):
    labels = np.zeros((1, 20, 20), np.uint8)
    labels[0, 4 : 4 + crop[0], 6 : 6 + crop[1]] = 1
    table = measure(PaintedSession.of(labels), MICRONS)
    assert table["solidity"][0] == pytest.approx(1)
    assert all(value is None or value == value for column in table.columns for value in column.values)


def test_the_csv_says_the_same(tmp_path):
    labels = moving_square(2)
    labels[1, 30:35, 30:35] = 9
    session = PaintedSession.of(labels, parents={9: (7,)})
    session.add(9, "daughter, first", (7,))
    table = measure(session, MICRONS)
    table.write_csv(tmp_path / "cells.csv")
    with (tmp_path / "cells.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_id"] for row in rows] == ["7", "7", "9"]
    assert rows[2]["class"] == "daughter, first"
    assert rows[2]["parents"] == "7"
    assert rows[0]["speed (µm/s)"] == ""
    assert float(rows[1]["speed (µm/s)"]) == pytest.approx(0.05)
    assert rows[0]["origin"] == "painted"
    with pytest.raises(InputError, match="exists; choose another name"):
        table.write_csv(tmp_path / "cells.csv")
    table.write_csv(tmp_path / "cells.csv", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.csv"]


def test_a_box_is_in_pixels_whatever_the_scale():
    table = measure(PaintedSession.of(moving_square(2)), MICRONS)
    assert [table[name] for name in ("x0", "y0", "x1", "y1")] == [(5, 8), (10, 10), (14, 17), (19, 19)]
    headers = [column.header for column in table.columns]
    assert headers[headers.index("centroid_y (µm)") + 1 :][:4] == ["x0", "y0", "x1", "y1"]


def test_chosen_objects_and_an_empty_session():
    labels = moving_square(2)
    labels[:, 30:35, 30:35] = 9
    session = PaintedSession.of(labels)
    assert set(measure(session, object_ids=[9])["object_id"]) == {9}
    with pytest.raises(InputError, match="no object 3"):
        measure(session, object_ids=[3])
    empty = measure(PaintedSession(open_frames(np.zeros((2, 5, 5), np.uint8))))
    assert len(empty) == 0
    assert "area" in [column.name for column in empty.columns]


@pytest.mark.parametrize(
    "wrong",
    [{"pixel_size": (0.0, 1.0)}, {"frame_interval": -1.0}, {"plane_spacing": float("nan")}, {"unit": " "}],
)
def test_a_scale_that_cannot_be(wrong):
    with pytest.raises(InputError):
        PhysicalScale(**wrong)


def test_a_real_session_is_measured(session, disc_mask, discs):
    one = session.add_object("disc", "cell")
    session.add_mask(0, one, disc_mask)
    session.add_points(3, one, [26, 20])
    session.add_mask(5, one, np.zeros_like(disc_mask))
    session.verify(one, [0])
    table = measure(session, MICRONS)
    assert table["name"] == ("disc", "disc", "disc")
    assert table["origin"] == ("painted", "prompted", "painted")
    assert table["verified"] == ("yes", "no", "no")
    assert table["area"][0] == disc_mask.sum() * 0.25
    assert table["mean_intensity"][0] == pytest.approx(discs[0][disc_mask].mean())
    y, x = np.nonzero(disc_mask)
    assert [table[name][0] for name in ("x0", "y0", "x1", "y1")] == [x.min(), y.min(), x.max(), y.max()]
    assert [table[name][2] for name in ("area", "centroid_x", "x0", "y1")] == [0, None, None, None]
    assert table["predicted_iou"][1] == pytest.approx(session.score(one, 3).predicted_iou)
