from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile
from masklet_data import Maker, square
from numpy.typing import NDArray

from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.sa_v import AUTO, describe_masklets
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, reading_of


@pytest.fixture
def video(tmp_path: Path, discs: NDArray[np.uint8]) -> Path:
    """A stack of 4 frames in which two discs move."""
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, discs[:4], metadata={"axes": "TYX"}, photometric="minisblack")
    return path


@pytest.fixture
def made(tmp_path: Path, video: Path, store: ModelStore, small_checkpoint: Path) -> Maker:
    """Makes a data set of videos with that many masklets, squares, the later ones of better quality."""

    def make(videos: Mapping[str, int]) -> MaskletDataset:
        dataset = MaskletDataset.create(tmp_path / "dataset")
        for name, count in videos.items():
            source = tmp_path / f"{name}.tif"
            source.write_bytes(video.read_bytes())
            session = AnnotationSession(dataset.take_video(source), store, small_checkpoint, axes="TYX")
            for frame in range(4):
                masks = {i + 1: square(4 + 12 * i, 10 + frame) for i in range(count)}
                session.import_masks(frame, masks, as_prompts=frame == 0)
            where, opening = reading_of(session.frames)
            SessionFolder.create(dataset.session(name), session, source=where, opening=opening).close()
            ids = [*session.objects]
            content = describe_masklets(
                session,
                where or source,
                ids,
                AUTO,
                session.mask,
                qualities={one: 0.5 + one / 100 for one in ids},
                opening=opening,
            )
            dataset.write_found(name, content)
            session.frames.close()
        return dataset

    return make
