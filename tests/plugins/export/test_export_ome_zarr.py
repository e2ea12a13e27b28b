"""OME-Zarr label images are read back by zarr and by our own reader."""

import shutil

import numpy as np
import pytest
import zarr
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.export import ome_zarr_labels
from sam2_plugins.export.ome_zarr_labels import write_ome_zarr_labels
from sam2_plugins.measure.physical_scale import PhysicalScale

SCALE = PhysicalScale((0.25, 0.5), "µm", 30.0, "s", 2.0)


def two_objects(largest=2):
    labels = np.zeros((3, 21, 30), np.uint32)
    labels[:2, 2:9, 3:12] = 1
    labels[1:, 10:15, 15:28] = largest
    return labels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axis", ["T", "Z"])
def test_labels_sizes_and_objects(tmp_path, version, axis):
    session = PaintedSession.of(two_objects(70_000), parents={70_000: (1,)}, axes=f"{axis}YX")
    session.add(1, "mother")
    path = tmp_path / "cells.zarr"
    write_ome_zarr_labels(session, path, SCALE, version=version)
    with open_frames(path, labels=True) as read:
        assert (read.axis, read.length, read.dtype) == (axis, 3, np.uint32)
        np.testing.assert_array_equal(np.stack(list(read)), two_objects(70_000))
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    attributes = dict(group.attrs)
    ome = attributes if version == "0.4" else attributes["ome"]
    (multiscale,) = ome["multiscales"]
    assert [one["name"] for one in multiscale["axes"]] == [axis.lower(), "y", "x"]
    assert [one["unit"] for one in multiscale["axes"]][1:] == ["micrometer"] * 2
    (transform,) = multiscale["datasets"][0]["coordinateTransformations"]
    assert transform["scale"] == [30.0 if axis == "T" else 2.0, 0.25, 0.5]
    assert ome["image-label"]["properties"] == [
        {"label-value": 1, "name": "object 1", "class": "mother"},
        {"label-value": 70_000, "name": "object 70000", "parents": [1]},
    ]
    assert (path / "0" / "0").is_dir() == (version == "0.4")  # keys with slashes: 0/0/0/0 and 0/c/0/0/0


def test_a_pyramid_of_large_planes(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_zarr_labels, "_CHUNK", 8)
    write_ome_zarr_labels(PaintedSession.of(two_objects()), tmp_path / "cells.zarr", SCALE)
    group = zarr.open_group(tmp_path / "cells.zarr", mode="r")
    assert [group[str(level)].shape for level in range(3)] == [(3, 21, 30), (3, 11, 15), (3, 6, 8)]
    assert "3" not in group
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert datasets[2]["coordinateTransformations"][0]["scale"] == [30.0, 1.0, 2.0]
    np.testing.assert_array_equal(group["2"][:], two_objects()[:, ::4, ::4])


def test_without_sizes_there_are_no_units(tmp_path):
    write_ome_zarr_labels(PaintedSession.of(two_objects()), tmp_path / "cells.zarr")
    axes = zarr.open_group(tmp_path / "cells.zarr", mode="r").attrs["ome"]["multiscales"][0]["axes"]
    assert all("unit" not in axis for axis in axes)


def test_stopping_leaves_nothing_and_nothing_is_replaced_unasked(tmp_path):
    session, path = PaintedSession.of(two_objects()), tmp_path / "cells.zarr"
    steps = write_ome_zarr_labels.steps(session, path)
    next(steps)
    steps.close()
    assert not list(tmp_path.iterdir())
    write_ome_zarr_labels(session, path)
    with pytest.raises(InputError, match="exists; choose another name"):
        write_ome_zarr_labels(session, path)
    write_ome_zarr_labels(session, path, version="0.4", overwrite=True)
    image = zarr.create_group(tmp_path / "image.zarr")
    image.attrs["ome"] = {"version": "0.5", "multiscales": []}
    with pytest.raises(InputError, match="holds something else"):
        write_ome_zarr_labels(session, tmp_path / "image.zarr", overwrite=True)
    shutil.rmtree(tmp_path / "image.zarr")
    assert list(tmp_path.iterdir()) == [path]
