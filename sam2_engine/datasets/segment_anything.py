"""Readers of SA-V (videos with masklets) and SA-1B (images), both in COCO run lengths."""

import json
import warnings
from pathlib import Path
from typing import Any

from sam2_engine.datasets.annotations import RunLengths
from sam2_engine.datasets.masklet_folder import late_videos
from sam2_engine.datasets.video import VideoRecord, warn_left_out
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import open_frames
from sam2_engine.text_files import read_text
from sam2_engine.wording import counted

__all__ = ["find_sa_1b", "find_sa_v", "is_masklet_dataset"]

_KINDS = ("manual", "auto")
_OUR_DATASET = "masklets.json"
_ODD = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What values of another type than expected lead to."""


def is_masklet_dataset(folder: Path) -> bool:
    """Whether ``sam2 masklets`` made a folder: there verified masklets and others are told apart."""
    return (folder / _OUR_DATASET).is_file()


def find_sa_v(folder: Path) -> tuple[list[VideoRecord], str] | None:
    """Recognize ``NAME.mp4`` with ``NAME_manual.json`` or ``NAME_auto.json``, at any depth.

    Of a data set that ``sam2 masklets`` made only the verified masklets count, those of ``NAME_manual.json``.
    """
    is_ours = is_masklet_dataset(folder)
    kinds = _KINDS[:1] if is_ours else _KINDS
    where = "" if is_ours else "**/"
    files = sorted(path for kind in kinds for path in folder.glob(f"{where}*_{kind}.json"))
    if is_ours:
        _check_verified(folder, files)
    if not files:
        return None
    videos: dict[Path, list[Path]] = {}
    for path in files:
        stem = path.stem.rsplit("_", 1)[0]
        videos.setdefault(path.with_name(f"{stem}.mp4"), []).append(path)
    records, faults = [], []
    for video, jsons in sorted(videos.items()):
        try:
            records.append(_masklets(video, jsons))
        except InputError as error:
            faults.append(str(error))
    if not records:
        raise InputError(faults[0])
    warn_left_out(faults, len(videos), "videos")
    return records, f"SA-V, {counted(len(records), 'video')} with masklets"


def _check_verified(folder: Path, files: list[Path]) -> None:
    """Refuse a data set without a verified masklet, and say what is not written yet."""
    late = late_videos(folder)
    if not files:
        raise InputError(
            f"No masklet of {folder} is verified yet: verify some first, or give a folder with the videos "
            "and their NAME_auto.json alone to use them as they are."
            if not late
            else f"The verdicts on {late[0]} are not written yet; `sam2 masklets report {folder}` does that."
        )
    if late:
        warnings.warn(
            f"The newest verdicts on {', '.join(late)} are not written yet and left out; "
            f"`sam2 masklets report {folder}` writes them.",
            InputWarning,
            stacklevel=4,
        )


def _masklets(video: Path, files: list[Path]) -> VideoRecord:
    contents = {path: _read(path) for path in sorted(files, reverse=True)}  # manual before auto
    video, opening = _where(video, contents)
    if not video.exists():
        raise InputError(f"The masklets {files[0]} have no video; expected it in {video}.")
    rows: dict[int, dict[int, dict[str, Any]]] = {}
    offset = 0
    for path, content in contents.items():
        try:
            masklets, count = content["masklet"], content["video_frame_count"]
            # Annotated at 6 frames per second in videos of 24.
            every = -(-int(count) // max(len(masklets), 1))
            for number, masks in enumerate(masklets):
                runs = {offset + i + 1: _run(run) for i, run in enumerate(masks)}
                rows.setdefault(number * every, {}).update(runs)
            offset += max((len(masks) for masks in masklets), default=0)
        except _ODD:
            raise _unlike(path, "masklet and video_frame_count, as SA-V has them") from None
    return VideoRecord(
        video.stem,
        lambda: open_frames(video, **opening),
        lambda frame: _runs(rows[frame], video),
        sorted(rows),
        annotates_all=False,
    )


def _where(video: Path, contents: dict[Path, Any]) -> tuple[Path, dict[str, Any]]:
    """Return the video's file and how it is read: as ``sam2 masklets`` writes down, else ``NAME.mp4``."""
    for path, content in contents.items():
        try:
            if name := content.get("video_file"):
                return video.with_name(Path(str(name)).name), dict(content.get("video_opening") or {})
        except _ODD:
            raise _unlike(path, "an object with masklet and video_frame_count") from None
    return video, {}


def find_sa_1b(folder: Path) -> tuple[list[VideoRecord], str] | None:
    """Recognize ``NAME.jpg`` with ``NAME.json`` of SA-1B, at any depth."""
    pairs = [(path, path.with_suffix(".jpg")) for path in sorted(folder.rglob("*.json"))]
    if not any(image.is_file() for _, image in pairs):
        return None
    records, faults = [], []
    for path, image in pairs:
        if image.is_file():
            records.append(_image(path, image))
        else:
            faults.append(f"The masks {path} have no image; expected it in {image}.")
    warn_left_out(faults, len(pairs), "images")
    return records, f"SA-1B, {counted(len(records), 'image')} with masks"


def _image(path: Path, image: Path) -> VideoRecord:
    def annotate(_: int) -> RunLengths:
        try:
            masks = _read(path)["annotations"]
            runs = {i + 1: _run(mask["segmentation"]) for i, mask in enumerate(masks)}
        except _ODD:
            raise _unlike(path, "annotations with a segmentation, as SA-1B has them") from None
        return _runs(runs, path)

    return VideoRecord(str(image), lambda: open_frames(image), annotate, (0,))


def _read(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{path} is not readable JSON; get it again.") from None


def _run(run: Any) -> dict[str, Any]:
    """Check that these are run lengths."""
    return {"size": [int(side) for side in run["size"]], "counts": run["counts"]}


def _runs(runs: dict[int, dict[str, Any]], source: Path) -> RunLengths:
    try:
        return RunLengths(runs)
    except _ODD:
        raise _unlike(source, "masks as COCO run lengths that fill their size") from None


def _unlike(path: Path, expected: str) -> InputError:
    return InputError(f"The annotations of {path} are not what they should be: {expected}; get them again.")
