"""Bodies of about half size 1: furniture, vessels, stones, machines, creatures that walk, branches."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.solids.mesh import Mesh, box, joined, lathe, superquadric, tube

__all__ = ["BODIES", "Body"]

Body = Callable[[float], Mesh]
"""A body as a function of its phase: limbs swing as the phase grows, the rest is rigid."""


def _rigid(mesh: Mesh) -> Body:
    return lambda _: mesh


def _rod(start: NDArray[np.float64], end: NDArray[np.float64], radius: float) -> Mesh:
    """Return a round rod with rounded ends."""
    path = np.linspace(start, end, 5)
    return tube(path, radius * np.array([0.3, 1.0, 1.0, 1.0, 0.3]), segments=6)


def _seat(rng: np.random.Generator) -> Body:
    """A chair, a stool, an armchair: four thin or thick legs, and a back of slats, bars or a board."""
    wide, deep, seat = rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.6), rng.uniform(-0.25, 0.05)
    thick, leg = rng.uniform(0.03, 0.12), rng.uniform(0.02, 0.07)
    splay = rng.uniform(0.0, 0.2)
    parts = [box((wide, thick, deep), (0.0, seat, 0.0))]
    for x in (-1, 1):
        for z in (-1, 1):
            inner = np.array([x * (wide - leg), seat, z * (deep - leg)])
            parts.append(_rod(inner, np.array([inner[0] * (1 + splay), -1.0, inner[2] * (1 + splay)]), leg))
    if rng.random() < 0.85:
        parts += _back(rng, wide, deep, seat, leg)
    if rng.random() < 0.35:
        arm = seat + rng.uniform(0.2, 0.4)
        for x in (-1, 1):
            parts.append(box((leg, leg, deep), (x * wide, arm, 0.0)))
            parts.append(_rod(np.array([x * wide, seat, deep]), np.array([x * wide, arm, deep]), leg))
    return _rigid(joined(parts))


def _back(rng: np.random.Generator, wide: float, deep: float, seat: float, leg: float) -> list[Mesh]:
    lean, top = rng.uniform(0.0, 0.25), rng.uniform(0.5, 1.0)
    kind = rng.random()
    if kind < 0.4:
        middle = (seat + top) / 2
        board = box((wide, (top - seat) / 2, rng.uniform(0.02, 0.1)), (0.0, middle, -deep))
        return [board]
    posts = [
        _rod(np.array([x * (wide - leg), seat, -deep]), np.array([x * (wide - leg), top, -deep - lean]), leg)
        for x in (-1, 1)
    ]
    count = int(rng.integers(1, 6))
    if kind < 0.7:
        shares = np.linspace(0.35, 1.0, count)
        return posts + [
            box(
                (wide, rng.uniform(0.03, 0.08), leg * 0.6),
                (0.0, seat + share * (top - seat), -deep - share * lean),
            )
            for share in shares
        ]
    rail = box((wide, 0.05, leg), (0.0, top, -deep - lean))
    slats = [
        _rod(np.array([x, seat, -deep]), np.array([x, top, -deep - lean]), leg * 0.6)
        for x in np.linspace(-wide, wide, count + 2)[1:-1]
    ]
    return [*posts, rail, *slats]


def _table(rng: np.random.Generator) -> Body:
    wide, deep, leg = rng.uniform(0.6, 1.0), rng.uniform(0.4, 0.9), rng.uniform(0.02, 0.08)
    top, foot = rng.uniform(0.1, 0.5), -rng.uniform(0.4, 0.9)
    parts = [box((wide, rng.uniform(0.02, 0.08), deep), (0.0, top, 0.0))]
    if rng.random() < 0.3:
        parts.append(_rod(np.array([0.0, top, 0.0]), np.array([0.0, foot, 0.0]), 2 * leg))
        parts.append(box((wide * 0.5, 0.03, deep * 0.5), (0.0, foot, 0.0)))
    else:
        for x in (-1, 1):
            for z in (-1, 1):
                place = np.array([x * (wide - leg), top, z * (deep - leg)])
                parts.append(_rod(place, place * [1, 0, 1] + [0, foot, 0], leg))
    return _rigid(joined(parts))


def _vessel(rng: np.random.Generator) -> Body:
    """A vase, a bottle, a lamp: turned from a smooth profile, some with a handle."""
    knots = rng.uniform(0.12, 0.75, int(rng.integers(3, 7)))
    radii = np.interp(np.linspace(0, 1, 18), np.linspace(0, 1, len(knots)), knots)
    radii = np.convolve(np.pad(radii, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    parts = [lathe(radii, rng.uniform(1.0, 2.0))]
    if rng.random() < 0.4:
        angle, reach = np.linspace(-1.3, 1.3, 12), rng.uniform(0.3, 0.6)
        loop = np.stack((radii.mean() + reach * np.cos(angle), 0.5 * np.sin(angle), 0 * angle), -1)
        parts.append(tube(loop, rng.uniform(0.04, 0.09), segments=6))
    return _rigid(joined(parts))


def _two(rng: np.random.Generator, *values: float) -> tuple[float, float]:
    """Draw two of the values."""
    first, second = rng.choice(values, 2)
    return float(first), float(second)


def _stone(rng: np.random.Generator) -> Body:
    """A stone, a fruit, a cushion: a superquadric, dented by a sum of waves that get finer (fractal)."""
    half = rng.uniform(0.5, 1.0, 3)
    body = superquadric(half, *_two(rng, 0.35, 0.6, 1.0, 1.0, 1.6), segments=32)
    strength, points = rng.uniform(0.0, 0.25), body.vertices
    bump = np.zeros(len(points))
    for octave in range(4):
        waves = rng.normal(0, 2.0 * 1.9**octave, (3, 3))
        bump += 0.55**octave * np.sin(points @ waves + rng.uniform(0, 2 * np.pi, 3)).mean(1)
    moved = points * (1 + strength * bump)[:, None]
    return _rigid(Mesh(moved, body.normals, body.uv, body.faces, body.parts))


def _pile(rng: np.random.Generator) -> Body:
    """Boxes, barrels and rounded blocks that touch: a machine, a toy, a building, a car."""
    parts, at = [], np.zeros(3)
    for _ in range(int(rng.integers(2, 6))):
        half = rng.uniform(0.12, 0.55, 3)
        sharp = rng.random() < 0.5
        part = box(half) if sharp else superquadric(half, *_two(rng, 0.3, 0.5, 1.0), segments=20)
        parts.append(part.moved(np.eye(3), at))
        step = rng.choice([-1.0, 1.0], 3) * half * rng.choice([0.0, 1.0], 3)
        at = np.clip(at + step, -0.55, 0.55)
    return _rigid(joined(parts))


def _wheels(rng: np.random.Generator) -> Body:
    """Rings with spokes, joined by rods: bicycles, fans, frames; the rings turn."""
    radius, count = rng.uniform(0.3, 0.5), int(rng.integers(1, 3))
    thin, spokes = rng.uniform(0.015, 0.05), int(rng.integers(3, 9))
    circle = np.linspace(0, 2 * np.pi, 25)
    ring = np.stack((np.cos(circle), np.sin(circle), 0 * circle), -1) * radius
    centers = [np.array([x, -0.3, 0.0]) for x in ((0.0,) if count == 1 else (-0.55, 0.55))]
    joints = rng.uniform(-0.7, 0.7, (4, 3)) * [1, 1, 0.3]
    frame = [_rod(center, joints[0], thin) for center in centers]
    frame += [_rod(joints[i], joints[i + 1], thin * 1.3) for i in range(3)]

    def at(phase: float) -> Mesh:
        parts = list(frame)
        for center in centers:
            parts.append(tube(ring + center, thin, segments=6))
            for angle in phase + np.arange(spokes) * 2 * np.pi / spokes:
                end = center + radius * np.array([np.cos(angle), np.sin(angle), 0.0])
                parts.append(_rod(center, end, thin * 0.5))
        return joined(parts)

    return at


def _creature(rng: np.random.Generator) -> Body:
    """A trunk with a head and limbs of two bones each, thin or stout; they swing as it walks."""
    upright = rng.random() < 0.5
    trunk = np.array([0.2, 0.42, 0.17] if upright else [0.5, 0.2, 0.2]) * rng.uniform(0.6, 1.1, 3)
    body = superquadric(trunk, 0.9, 0.9, segments=16)
    shift = np.array([0.0, 0.6, 0.0] if upright else [0.62, 0.3, 0.0])
    head = superquadric(rng.uniform(0.1, 0.22, 3), segments=14).moved(np.eye(3), shift)
    hips = [
        np.array([0.0, -0.9, z]) if upright else np.array([x, -0.5, z])
        for x in (-0.8, 0.8)
        for z in (-0.8, 0.8)
    ]
    hips = [hip * trunk for hip in hips]
    if upright:
        hips[2:] = [np.array([0.0, 0.7, z]) * trunk for z in (-1.1, 1.1)]
    thick, upper = rng.uniform(0.03, 0.09), rng.uniform(0.25, 0.4)
    swing, bend = rng.uniform(0.3, 1.1), rng.uniform(0.2, 1.2)
    tail = rng.normal(0, 0.35, 3) if rng.random() < 0.5 else None

    def at(phase: float) -> Mesh:
        parts = [body, head]
        for number, hip in enumerate(hips):
            angle = swing * np.sin(phase + np.pi * (number in (1, 2)))
            knee = hip + upper * np.array([np.sin(angle), -np.cos(angle), 0.0])
            lower = angle - bend * (0.5 + 0.5 * np.sin(phase + 1.2 + np.pi * (number in (1, 2))))
            foot = knee + upper * np.array([np.sin(lower), -np.cos(lower), 0.0])
            parts += [_rod(hip, knee, thick), _rod(knee, foot, thick * 0.8)]
        if tail is not None:
            share = np.linspace(0, 1, 9)[:, None]
            wave = 0.12 * np.sin(phase + 5 * share) * share
            path = np.array([-trunk[0], 0.0, 0.0]) + share * (tail - [0.5, 0.0, 0.0]) + wave * [0.0, 1.0, 0.5]
            parts.append(tube(path, np.linspace(thick, 0.2 * thick, 9), segments=6))
        return joined(parts)

    return at


def _branches(rng: np.random.Generator) -> Body:
    """A tree or a coral: rods that split again and again (fractal), swaying."""
    split, spread, shrink = int(rng.integers(2, 4)), rng.uniform(0.3, 0.8), rng.uniform(0.6, 0.78)
    rods: list[tuple[NDArray[np.float64], NDArray[np.float64], float]] = []

    def grow(at: NDArray[np.float64], direction: NDArray[np.float64], length: float, depth: int) -> None:
        end = at + direction * length
        rods.append((at, end, max(0.1 * length, 0.012)))
        for _ in range(split if depth else 0):
            turned = direction + rng.normal(0, spread, 3)
            grow(end, turned / np.linalg.norm(turned), length * shrink, depth - 1)

    grow(np.array([0.0, -1.0, 0.0]), np.array([0.0, 1.0, 0.0]), 0.65, 4 if split == 2 else 3)
    sway = rng.normal(0, 0.08)

    def at(phase: float) -> Mesh:
        def swayed(point: NDArray[np.float64]) -> NDArray[np.float64]:
            aside = sway * np.sin(phase) * (point[1] + 1) ** 2
            moved: NDArray[np.float64] = point + np.array([aside, 0.0, 0.0])
            return moved

        whole = joined([_rod(swayed(start), swayed(end), radius) for start, end, radius in rods])
        return Mesh(whole.vertices, whole.normals, whole.uv, whole.faces, np.zeros_like(whole.parts))

    return at


def _rope(rng: np.random.Generator) -> Body:
    """A rope, a snake, a wire: a long thin tube that winds along itself."""
    waves, size = rng.integers(1, 4, 3), rng.uniform(0.1, 0.5, 3)
    start, share = rng.uniform(0, 2 * np.pi, 3), np.linspace(-1, 1, 48)
    radius = rng.uniform(0.02, 0.1)
    radii = radius * np.clip(4 * (1 - np.abs(share)), 0.05, 1)

    def at(phase: float) -> Mesh:
        path = size * np.sin(2.2 * share[:, None] * waves + start + 0.7 * phase)
        return tube(path + share[:, None] * [0.9, 0.0, 0.0], radii, segments=8)

    return at


BODIES: dict[str, tuple[Callable[[np.random.Generator], Body], float]] = {
    "seat": (_seat, 0.24),
    "table": (_table, 0.08),
    "vessel": (_vessel, 0.1),
    "stone": (_stone, 0.12),
    "pile": (_pile, 0.14),
    "wheels": (_wheels, 0.08),
    "creature": (_creature, 0.14),
    "branches": (_branches, 0.05),
    "rope": (_rope, 0.05),
}
"""How to draw a body of each kind, and how often."""
