"""A pool of scenes: rendered once, also when stopped, and replayed with labels where their objects are."""

from pathlib import Path

import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.synthetic.compositor import Clip
from sam2_engine.training.nano.curriculum import BatchConfig, Curriculum
from sam2_engine.training.nano.scene_drawing import SceneKind
from sam2_engine.training.nano.scene_pool import ScenePool, replayed

KIND = SceneKind(num_frames=2, size=48)


def test_a_stopped_rendering_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    pool = ScenePool(tmp_path, count=3)
    assert pool.render([KIND, KIND], workers=0) == 3
    files = sorted(tmp_path.rglob("*.npz"))
    before = files[0].read_bytes()
    files[1].unlink()
    assert pool.render([KIND], workers=0) == 1
    assert files[0].read_bytes() == before
    with np.load(files[1]) as again:
        assert again["frames"].shape == (2, 48, 48, 3)


def test_processes_render_the_same_scenes(tmp_path: Path) -> None:
    ScenePool(tmp_path / "one", count=2).render([KIND], workers=0)
    ScenePool(tmp_path / "two", count=2).render([KIND], workers=1)
    first, second = (sorted((tmp_path / name).rglob("*.npz")) for name in ("one", "two"))
    assert len(first) == len(second) == 2
    for one, other in zip(first, second, strict=True):
        with np.load(one) as ours, np.load(other) as theirs:
            assert np.array_equal(ours["frames"], theirs["frames"])
            assert np.array_equal(ours["labels"], theirs["labels"])


def test_a_scene_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    pool, rng = ScenePool(tmp_path, count=1), np.random.default_rng(0)
    with pytest.raises(InputError, match="render it first"):
        pool.view(rng, KIND)
    pool.render([KIND], workers=0)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot be read: delete it"):
        pool.view(rng, KIND)


def test_replayed_labels_lie_on_their_objects() -> None:
    """Each label has a gray of its own, so a view's labels can be read off its pixels, but at edges."""
    labels = np.zeros((2, 64, 64), np.int32)
    labels[:, 8:30, 6:40], labels[1, 36:60, 30:50] = 1, 2
    frames = np.repeat((labels / 4).astype(np.float32)[..., None], 3, -1)
    views = [replayed(np.random.default_rng(seed), Clip(frames, labels)) for seed in range(12)]
    for view in views:
        differs = np.abs(view.frames[..., 0] * 4 - view.labels) > 0.5
        assert differs.mean() < 0.03
        assert view.labels.dtype == np.int32
    assert len({view.labels.tobytes() for view in views}) > 8


def test_batches_come_from_the_pool_and_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BatchConfig(size=48, batch_size=3, num_frames=2, max_objects=2, synthetic=1.0, all_styles=True)
    pool = ScenePool(tmp_path, count=2)
    pool.render([config.scene_kind], workers=0)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr("sam2_engine.training.nano.curriculum.draw_scene", refused)
    curriculum = Curriculum([], (config,), seed=1, pool=pool)
    batch, again, other = curriculum[0], curriculum[0], curriculum[1]
    assert batch.frames.shape == (3, 2, 3, 48, 48)
    assert np.array_equal(batch.frames, again.frames)
    assert not np.array_equal(batch.frames, other.frames)
