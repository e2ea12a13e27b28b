"""Frames of a video as the official loader prepares them, read when they are asked for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.frames import video_frames as files
from sam2_engine.official_api.errors import UnsupportedError
from sam2_engine.preprocessing import normalize, to_model_input
from sam2_engine.weights.pixel_rules import window_of

__all__ = ["VideoFrames", "open_video"]

_JPEG = (".jpg", ".jpeg", ".JPG", ".JPEG")


class VideoFrames:
    """Frames of a video as the model's input, (T, 3, S, S) float32: a tensor that is read frame by frame.

    An index gives (3, S, S), a slice a tensor; what else a tensor can do, this can do as well, once all
    frames are read.

    Parameters
    ----------
    read
        Returns a frame by its number, (3, S, S).
    length
        Number of frames.
    image_size
        S.
    device
        Device of the frames.
    """

    dtype = torch.float32

    def __init__(
        self, read: Callable[[int], Tensor], length: int, image_size: int, device: torch.device
    ) -> None:
        self._read = read
        self.shape = torch.Size((length, 3, image_size, image_size))
        self.device = device

        self.opened_as: tuple[object, int, torch.device, str] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {' x '.join(map(str, self.shape))} on {self.device}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the video be opened again elsewhere, as it was here."""
        if self.opened_as is None:
            raise InputError("These frames come from a function, and cannot be pickled: open them by a path.")
        return _opened_again, self.opened_as

    def __deepcopy__(self, memo: dict[int, object]) -> "VideoFrames":
        """Return the frames themselves, which are only read."""
        return self

    def __getitem__(self, index: Any) -> Tensor:
        numbers = range(len(self))
        if isinstance(index, (int, np.integer)):
            return self._read(numbers[index]).to(self.device)
        if isinstance(index, slice):
            chosen = [self._read(number) for number in numbers[index]]
            frames = torch.stack(chosen) if chosen else torch.zeros(0, *self.shape[1:], dtype=torch.float32)
            return frames.to(self.device)
        return self[:][index]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[number] for number in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self[:], name)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Read all frames where a function of torch takes them as a tensor."""
        return func(*_tensors(args), **_tensors(kwargs or {}))


def _tensors(values: Any) -> Any:
    if isinstance(values, VideoFrames):
        return values[:]
    if isinstance(values, dict):
        return {key: _tensors(value) for key, value in values.items()}
    return type(values)(map(_tensors, values)) if isinstance(values, (list, tuple)) else values


def open_video(
    video_path: object, image_size: int, device: torch.device, intensities: str = "usual"
) -> tuple[VideoFrames, int, int]:
    """Open a video: its frames as the model's input, and its height and width in pixels.

    A folder of JPEG files with numbers as names and a video file are read as the official loader reads them;
    anything else as ``open_frames`` does, with 8-bit colors resized by Pillow's bicubic filter, and more bits
    through the window that a model of these ``intensities`` expects.

    Raises
    ------
    InputError
        If it cannot be read, has no end, or frames of several sizes.
    """
    video_path = Path(video_path).absolute() if isinstance(video_path, (str, Path)) else video_path
    frames, height, width = _opened(video_path, image_size, device, intensities)
    frames.opened_as = video_path, image_size, device, intensities
    return frames, height, width


def _opened_again(video_path: object, image_size: int, device: torch.device, intensities: str) -> VideoFrames:
    return open_video(video_path, image_size, device, intensities)[0]


def _opened(
    video_path: object, image_size: int, device: torch.device, intensities: str
) -> tuple[VideoFrames, int, int]:
    if isinstance(video_path, bytes):
        raise UnsupportedError("A video in memory is not read: write the bytes to a file and give its path.")
    paths = _numbered_jpegs(video_path)
    if paths:
        return _of_files(paths, image_size, device)
    frames = open_frames(video_path)
    if frames.length is None:
        raise InputError(f"{frames.name} has no end: track live streams with sam2_engine.VideoSession.")
    read = _reader(frames, image_size, intensities)
    return VideoFrames(read, frames.length, image_size, device), *frames.shape


def _numbered_jpegs(video_path: object) -> list[Path]:
    """Return the JPEG files of a folder in the order of their numbers; none if a name is no number."""
    if not isinstance(video_path, (str, Path)) or not Path(video_path).is_dir():
        return []
    paths = [path for path in Path(video_path).iterdir() if path.suffix in _JPEG]
    try:
        return sorted(paths, key=lambda path: int(path.stem))
    except ValueError:
        return []


def _of_files(paths: list[Path], image_size: int, device: torch.device) -> tuple[VideoFrames, int, int]:
    sizes: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            with Image.open(path) as image:
                sizes.setdefault(image.size, path)
        except OSError:
            raise InputError(f"{path} is no image that can be read: copy or export it again.") from None
    if len(sizes) > 1:
        described = ", ".join(f"{path.name} is {w} x {h}" for (w, h), path in sizes.items())
        raise InputError(f"The frames of {paths[0].parent} differ in size ({described}): give frames of one.")

    def read(number: int) -> Tensor:
        with Image.open(paths[number]) as image:
            return _resized(image.convert("RGB"), image_size)

    ((width, height),) = sizes
    return VideoFrames(read, len(paths), image_size, device), height, width


def _reader(frames: FrameSource, image_size: int, intensities: str) -> Callable[[int], Tensor]:
    """Return a function that reads a frame; other types than 8-bit pass through the intensity window."""
    window = window_of(frames, None, intensities)
    if (
        isinstance(frames, files.VideoFrames)
        and window is None
        and not frames.decode(frames.first_readable).rotation
    ):
        return _video_reader(frames, image_size)

    def read(number: int) -> Tensor:
        pixels = frames[number]
        if window is None and pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] in (1, 3, 4)):
            return _resized(_as_rgb(pixels), image_size)
        return to_model_input(pixels, window, image_size)[0]

    return read


def _video_reader(frames: files.VideoFrames, image_size: int) -> Callable[[int], Tensor]:
    """Return a function that resizes a decoded frame as the official loader's decoder does."""
    import av

    first = frames.decode(frames.first_readable)
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=first.width, height=first.height, format=first.format, time_base=first.time_base
    )
    scale = graph.add("scale", f"{image_size}:{image_size}:flags=bilinear")
    colors, sink = graph.add("format", "rgb24"), graph.add("buffersink")
    for one, following in ((source, scale), (scale, colors), (colors, sink)):
        one.link_to(following)
    graph.configure()

    def read(number: int) -> Tensor:
        graph.push(frames.decode(number))
        return _as_input(graph.pull().to_ndarray())

    return read


def _as_rgb(pixels: NDArray[np.uint8]) -> Image.Image:
    colors = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(colors, (*colors.shape[:2], 3))))


def _resized(image: Image.Image, image_size: int) -> Tensor:
    return _as_input(np.asarray(image.resize((image_size, image_size))))


def _as_input(colors: NDArray[np.uint8]) -> Tensor:
    return normalize(torch.from_numpy((colors / 255).transpose(2, 0, 1).astype(np.float32)))
