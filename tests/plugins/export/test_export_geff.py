"""Tracks as a GEFF graph, read back by the format's own package."""

import sys

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_plugins.export.geff_graph import write_geff
from sam2_plugins.measure.physical_scale import PhysicalScale


def family():
    """1 divides into 2 and 3, which is missing on frame 3; 4 is 2 and 3 fused."""
    labels = np.zeros((6, 20, 40), np.uint16)
    labels[:2, 2:8, 2:8] = 1
    labels[2:5, 2:8, 10:16] = 2
    labels[[2, 4], 12:18, 10:16] = 3
    labels[5, 2:8, 20:26] = 4
    return PaintedSession.of(labels, parents={2: (1,), 3: (1,), 4: (2, 3)})


def test_nodes_edges_and_sizes(tmp_path):
    geff = pytest.importorskip("geff", reason="the extra [geff]")
    session, scale = family(), PhysicalScale((0.5, 0.5), "µm", 30.0, "s")
    write_geff(session, tmp_path / "tracks.geff", scale)
    graph, metadata = geff.read(tmp_path / "tracks.geff")
    named = {node: (int(one["object_id"]), one["t"] / 30) for node, one in graph.nodes(data=True)}
    assert sorted(named.values()) == [
        (1, 0), (1, 1), (2, 2), (2, 3), (2, 4), (3, 2), (3, 4), (4, 5),
    ]  # fmt: skip
    assert sorted((named[one], named[other]) for one, other in graph.edges) == [
        ((1, 0), (1, 1)),
        ((1, 1), (2, 2)),
        ((1, 1), (3, 2)),
        ((2, 2), (2, 3)),
        ((2, 3), (2, 4)),
        ((2, 4), (4, 5)),
        ((3, 2), (3, 4)),
        ((3, 4), (4, 5)),
    ]
    (first,) = (one for node, one in graph.nodes(data=True) if named[node] == (1, 0))
    assert (first["y"], first["x"], first["area"]) == (2.25, 2.25, 9.0)
    assert [axis.unit for axis in metadata.axes] == ["second", "micrometer", "micrometer"]
    with pytest.raises(InputError, match="exists; choose another name"):
        write_geff(session, tmp_path / "tracks.geff")
    write_geff(session, tmp_path / "tracks.geff", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.geff"]


def test_without_the_package_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "geff", None)
    with pytest.raises(InputError, match=r"pip install .*\[geff\]"):
        write_geff(family(), tmp_path / "tracks.geff")
    assert not list(tmp_path.iterdir())
