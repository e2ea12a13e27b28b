"""Solid bodies: what is near covers what is far, silhouettes are those of geometry, every body is drawn."""

import numpy as np
import pytest

from sam2_engine.synthetic.procedural import PATTERNS, procedural_surface
from sam2_engine.synthetic.rendering import render_scene
from sam2_engine.synthetic.solids.bodies import BODIES
from sam2_engine.synthetic.solids.mesh import Mesh, box, joined, lathe, superquadric, tube
from sam2_engine.synthetic.solids.renderer import Light, Surface, draw_mesh

LIGHT = Light(np.array([0.0, 0.0, 1.0]), ambient=0.5, gloss=0.0)
RED_AND_BLUE = Surface(np.array([[[[1.0, 0.0, 0.0]]], [[[0.0, 0.0, 1.0]]]], np.float32))


def drawn(mesh: Mesh, half: float = 40.0, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole frame's color and coverage."""
    color, coverage = np.zeros((size, size, 3)), np.zeros((size, size))
    result = draw_mesh(mesh, RED_AND_BLUE, LIGHT, (size / 2, size / 2), half, size)
    assert result is not None
    window, color[window], coverage[window] = result
    return color, coverage


@pytest.mark.parametrize("half", [40.0, 90.0])
def test_a_ball_covers_a_disc(half: float) -> None:
    """Seen from 4 radii away, the outline of a ball of radius 1 has radius 4 / sqrt(15)."""
    _, coverage = drawn(superquadric((1, 1, 1), segments=64), half, size=256)
    assert coverage.sum() == pytest.approx(np.pi * half**2 * 16 / 15, rel=0.02)
    assert coverage.max() <= 1.0


def test_the_nearer_of_two_is_seen_whatever_their_order() -> None:
    near, far = box((0.3, 0.3, 0.1), (0, 0, 0.6)), box((0.8, 0.8, 0.1), (0, 0, -0.5))
    for meshes, middle in (([near, far], 0), ([far, near], 2)):
        color, coverage = drawn(joined(meshes))
        assert coverage[64, 64] == 1.0
        assert color[64, 64].argmax() == middle
        assert color[64, 92].argmax() == 2 - middle


@pytest.mark.parametrize(
    "mesh",
    [
        box((0.5, 0.4, 0.3)),
        superquadric((0.5, 0.4, 0.3)),
        lathe(np.array([0.3, 0.5, 0.2]), 1.0),
        tube(np.linspace([0.0, -0.5, 0.0], [0.1, 0.5, 0.0], 7), 0.2 * np.array([0.01, 1, 1, 1, 1, 1, 0.01])),
    ],
    ids=["box", "superquadric", "lathe", "tube"],
)
def test_outsides_face_outward(mesh: Mesh) -> None:
    """The volume enclosed, summed over the triangles, is positive; normals point away from the middle."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    assert np.einsum("fc,fc->f", a, np.cross(b, c)).sum() > 0
    outward = np.einsum("nc,nc->n", mesh.normals, mesh.vertices - mesh.vertices.mean(0))
    assert (outward > -1e-6).mean() > 0.9


@pytest.mark.parametrize("name", BODIES)
def test_every_body_is_drawn_from_all_sides(name: str) -> None:
    for seed in range(3):
        body = BODIES[name][0](np.random.default_rng(seed))
        for turn in (0.0, 1.0, 2.5):
            matrix = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
            mesh = body(turn).moved(matrix)
            assert np.isfinite(mesh.vertices).all()
            assert np.abs(mesh.vertices).max() < 3.0
            color, coverage = drawn(mesh)
            assert coverage.sum() > 20
            assert np.isfinite(color).all()


def test_a_body_outside_of_the_frame_is_not_drawn() -> None:
    assert draw_mesh(box((1, 1, 1)), RED_AND_BLUE, LIGHT, (-300.0, 40.0), 40.0, 128) is None


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_repeatable_and_vary(name: str) -> None:
    pattern, again = (PATTERNS[name](np.random.default_rng(4), 64) for _ in range(2))
    assert np.array_equal(pattern, again)
    assert pattern.shape == (64, 64)
    assert pattern.dtype == np.float32
    assert 0.1 < pattern.std() < 4.0


def test_procedural_surfaces_are_colors() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        surface = procedural_surface(rng, 48)
        assert surface.shape == (48, 48, 3)
        assert 0.0 <= surface.min() <= surface.max() <= 1.0


def test_solids_turn() -> None:
    """Outlines change from frame to frame by more than a shift: areas do."""
    changes = []
    for seed in range(6):
        labels = render_scene("turning_solids", 5, 96, seed).labels
        for value in np.unique(labels[0])[1:]:
            areas = (labels == value).sum((1, 2)).astype(float)
            changes.append(areas.std() / areas.mean())
    assert np.median(changes) > 0.02
