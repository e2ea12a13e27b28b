"""Pool of scenes that are rendered once, into files, and replayed as new views."""

import multiprocessing
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.synthetic.compositor import Clip
from sam2_engine.training.nano.scene_drawing import SceneKind, draw_scene

__all__ = ["ScenePool", "replayed"]

_CLOSEST = 1.7
"""Largest magnification of a replayed scene."""


@dataclass(frozen=True)
class ScenePool:
    """A folder of rendered scenes, ``count`` of each kind.

    Parameters
    ----------
    folder
        Where the files are: ``<frames>x<side>.<mixture>/<number>.npz``.
    count
        Scenes of each kind.
    seed
        Seed of the pool.

    Examples
    --------
    >>> import tempfile
    >>> pool = ScenePool(Path(tempfile.mkdtemp()), count=2)
    >>> kind = SceneKind(num_frames=2, size=64)
    >>> pool.render([kind], workers=0)
    2
    >>> pool.view(np.random.default_rng(0), kind).labels.shape
    (2, 64, 64)
    """

    folder: Path
    count: int
    seed: int = 0

    def render(self, kinds: Iterable[SceneKind], workers: int) -> int:
        """Render what is missing in so many processes (0: in this one), and return how many scenes that was.

        A scene is a file that is complete or not there, so a stopped rendering goes on where it was.
        """
        missing = [
            (self, kind, number)
            for kind in dict.fromkeys(kinds)
            for number in range(self.count)
            if not self._path(kind, number).exists()
        ]
        for kind in {kind for _, kind, _ in missing}:
            self._path(kind, 0).parent.mkdir(parents=True, exist_ok=True)
        if workers and missing:
            with multiprocessing.get_context("spawn").Pool(workers, _use_one_thread) as processes:
                for _ in processes.imap_unordered(_render, missing, chunksize=4):
                    pass
        else:
            for each in missing:
                _render(each)
        return len(missing)

    def view(self, rng: np.random.Generator, kind: SceneKind) -> Clip:
        """Return a new view of any of the scenes of a kind.

        Raises
        ------
        InputError
            If the scene was not rendered, or its file is damaged.
        """
        path = self._path(kind, int(rng.integers(self.count)))
        try:
            with path.open("rb") as file, np.load(file) as stored:
                frames, labels = stored["frames"], stored["labels"]
        except FileNotFoundError:
            raise InputError(f"The pool of scenes has no {path}: render it first.") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise InputError(
                f"The scene {path} cannot be read: delete it, and it is rendered again when training starts."
            ) from None
        return replayed(rng, Clip(frames.astype(np.float32) / 255, labels.astype(np.int32)))

    def _path(self, kind: SceneKind, number: int) -> Path:
        mixture = "all" if kind.all_styles else "first"
        return self.folder / f"{kind.num_frames}x{kind.size}.{mixture}" / f"{self.seed}-{number:06}.npz"


def _render(task: tuple[ScenePool, SceneKind, int]) -> None:
    pool, kind, number = task
    # Four small numbers and the pool's own: no scene of an evaluation, and none of a run without a pool.
    clip = draw_scene([pool.seed, kind.num_frames, kind.size, number, 3], kind)
    frames = (np.clip(clip.frames, 0, 1) * 255).round().astype(np.uint8)
    with replacing(pool._path(kind, number)) as aside, aside.open("wb") as file:
        np.savez(file, frames=frames, labels=clip.labels.astype(np.uint16))


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def replayed(rng: np.random.Generator, clip: Clip) -> Clip:
    """Return a clip turned, mirrored, closer, its colors exchanged, and half of the time backwards.

    What is seen stays inside the scene, so nothing is made up at the borders.
    """
    zoom = float(np.exp(rng.uniform(0, np.log(_CLOSEST)))) if rng.random() < 0.7 else 1.0
    angle = int(rng.integers(4)) * np.pi / 2
    mirror = rng.choice([-1.0, 1.0])
    cos, sin = round(np.cos(angle)) / zoom, round(np.sin(angle)) / zoom
    x, y = rng.uniform(-1, 1, 2) * (1 - 1 / zoom)
    theta = torch.tensor([[cos * mirror, -sin, x], [sin * mirror, cos, y]], dtype=torch.float32)
    order = np.arange(len(clip.frames))[:: -1 if rng.random() < 0.5 else 1].copy()
    channels = rng.permutation(3) if rng.random() < 0.3 else np.arange(3)
    frames = torch.from_numpy(clip.frames[order][..., channels]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(clip.labels[order].astype(np.float32))[:, None]
    grid = F.affine_grid(theta.expand(len(frames), -1, -1), list(frames.shape), align_corners=False)
    views = F.grid_sample(frames, grid, padding_mode="reflection", align_corners=False)
    ids = F.grid_sample(labels, grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return Clip(views.permute(0, 2, 3, 1).numpy(), ids[:, 0].numpy().astype(np.int32))
