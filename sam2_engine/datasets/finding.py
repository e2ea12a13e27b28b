"""Data set of a folder, whatever format it is in."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from sam2_engine.datasets.cell_tracking_challenge import find_cell_tracking
from sam2_engine.datasets.label_folders import find_label_folders
from sam2_engine.datasets.label_stacks import find_label_stacks
from sam2_engine.datasets.segment_anything import find_sa_1b, find_sa_v, is_masklet_dataset
from sam2_engine.datasets.video import AnnotatedVideo, Progress, VideoRecord, check_videos
from sam2_engine.errors import InputError
from sam2_engine.wording import counted

__all__ = ["AnnotatedData", "find_dataset"]


@dataclass(frozen=True)
class AnnotatedData:
    """Data set found in a folder; leaving it as a context closes its files.

    Attributes
    ----------
    description
        One line for users.
    videos
        The videos and images; an image is a video of one frame.
    """

    description: str
    videos: tuple[AnnotatedVideo, ...]

    @property
    def fingerprint(self) -> str:
        """Digest of which objects are visible on which frames."""
        content = [
            (video.name, sorted((frame, sorted(ids)) for frame, ids in video.visible.items()))
            for video in self.videos
        ]
        return hashlib.blake2b(repr(content).encode(), digest_size=16).hexdigest()

    @contextmanager
    def seen_by(self, intensities: str) -> Iterator["AnnotatedData"]:
        """Give the same as a model sees it, by the rule of its gray levels; closed afterwards."""
        with replace(self, videos=tuple(video.seen_by(intensities) for video in self.videos)) as data:
            yield data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for video in self.videos:
            video.close()


def find_dataset(
    folder: str | Path, *, as_video: bool | None = None, progress: Progress | None = None
) -> AnnotatedData:
    """Recognize the format of a data set, and read all of it once, so that errors show at once.

    Parameters
    ----------
    folder
        A Cell Tracking Challenge set, folders of frames and label images (DAVIS), SA-V, SA-1B, TIFF
        stacks with label stacks; or a folder of folders of these.
    as_video
        Whether image files with label images are one video or separate images; None: decided by
        sizes and ids.
    progress
        Called with the frames read, and how many there are.

    Raises
    ------
    InputError
        If no format is recognized, or nothing in it can be used.

    Warns
    -----
    InputWarning
        Of what was left out, with a count.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import tifffile
    >>> from sam2_engine.synthetic import moving_cells
    >>> frames, labels = moving_cells(num_frames=5, size=64, num_cells=2)
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/cells.tif", frames, metadata={"axes": "TYX"})
    ...     tifffile.imwrite(f"{folder}/cells_labels.tif", labels, metadata={"axes": "TYX"})
    ...     with find_dataset(folder) as data:
    ...         print(data.description)
    1 TIFF stack with label stacks: 5 annotated frames, 10 masks.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"There is no folder {root}; give the folder that holds images and masks.")
    parts = _recognized(root, as_video)
    records = [one for videos, _ in parts for one in videos]
    videos = tuple(check_videos(records, progress))
    frames = sum(len(video.visible) for video in videos)
    masks = sum(len(ids) for video in videos for ids in video.visible.values())
    formats = "; ".join(description for _, description in parts)
    return AnnotatedData(
        f"{formats}: {counted(frames, 'annotated frame')}, {counted(masks, 'mask')}.", videos
    )


def _recognized(root: Path, as_video: bool | None) -> list[tuple[list[VideoRecord], str]]:
    """Return what the folder holds, or what each of its folders holds."""
    whole = _recognize(root, as_video)
    if whole is not None:
        return [whole]
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    parts = [part for path in folders if (part := _recognize(path, as_video)) is not None]
    if not parts:
        raise InputError(
            f"No data set is recognized in {root}; give frames and label images in folders named images "
            "and labels, a TIFF stack NAME.tif with NAME_labels.tif, or a Cell Tracking Challenge, DAVIS, "
            "SA-V or SA-1B folder."
        )
    return parts


def _recognize(folder: Path, as_video: bool | None) -> tuple[list[VideoRecord], str] | None:
    if is_masklet_dataset(folder):
        return find_sa_v(folder)
    return (
        find_cell_tracking(folder)
        or find_label_folders(folder, as_video)
        or find_sa_v(folder)
        or find_label_stacks(folder)
        or find_sa_1b(folder)
    )
