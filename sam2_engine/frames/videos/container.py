"""Containers of videos, opened safely: streams of images, packets, and whether the file is cut off."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sam2_engine.errors import InputError
from sam2_engine.frames.series import Series, choose_series, left_out

__all__ = ["choose_stream", "is_cut_off", "open_container", "prepare", "read_images", "read_packets"]

# Containers that may be opened: no playlists or text formats, which can make the library fetch other files.
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,gif,h264,hevc,m4v,mpegvideo,mjpeg,ivf,mxf,nut,dv"
)
_SAFE_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_MAX_READ_ERRORS = 16
_MAX_FLUSHES = 64
_THREADS = 4
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_TS_SYNC, _TS_PACKET = b"\x47", 188
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def open_container(path: Path) -> Any:
    """Open a video with PyAV; nothing beside the file itself is read.

    Raises
    ------
    InputError
        If PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise InputError(
            f'{path.name} may be a video, which needs an extra package: pip install "sam2-plugins[video]".'
        ) from None
    # Titles and comments in another encoding than UTF-8 are no reason to refuse pixels.
    return av.open(str(path.absolute()), options=_SAFE_OPTIONS, metadata_errors="replace")


def choose_stream(container: Any, name: str, series: Series = None) -> tuple[int, str]:
    """Choose one of a container's streams of images, by default the largest; covers and previews come last.

    Returns
    -------
    number, note
        Its number among the streams of images, and which others there are, in words.

    Raises
    ------
    InputError
        If there is none, or not the one that is asked for.
    """
    streams = container.streams.video
    if not streams:
        raise InputError(f"{name} holds no images; give an image, a stack or a video.")
    names = [_name(stream) for stream in streams]
    default = max(
        range(len(streams)), key=lambda number: (not _is_still(streams[number]), _area(streams[number]))
    )
    chosen = choose_series(name, names, series, default)
    return chosen, left_out(names, chosen)


def _name(stream: Any) -> str:
    size = f"{stream.codec_context.width} x {stream.codec_context.height}"
    title = stream.metadata.get("title", "").strip()
    return title or (f"cover, {size}" if _is_still(stream) else size)


def _area(stream: Any) -> int:
    return int(stream.codec_context.width * stream.codec_context.height)


def _is_still(stream: Any) -> bool:
    """Whether a stream is a cover or previews of the video."""
    kinds = type(stream.disposition)
    return bool(stream.disposition & (kinds.attached_pic | kinds.timed_thumbnails))


def read_packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield all packets that can be read, of all streams if none is given: damage ends no video."""
    import av

    for _ in range(_MAX_READ_ERRORS):
        try:
            yield from container.demux(*streams)
            return
        except av.error.FFmpegError:  # reading goes on behind what cannot be read, if anything is there
            continue


def prepare(stream: Any) -> Any:
    """Set up the decoder of a stream; it shall not hide damage, where it can be told so."""
    # H.264's decoder looks for no damage with a thread for each slice; with one for each frame, an image may
    # come before another thread has told that it is damaged.
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = 1 if stream.codec_context.name == "h264" else _THREADS
    if stream.codec_context.name == "mjpeg":  # else it fills up damaged images and says nothing
        stream.codec_context.options = {"err_detect": "explode"}
    return stream


def read_images(container: Any, stream: Any, time_at: Mapping[int, int | None]) -> Iterator[Any]:
    """Yield the images of a stream in the order they are shown, and ``None`` where data cannot be decoded.

    ``time_at`` corrects the time stamps of packets by their positions in the file; ``None`` leaves one out.
    """
    import av

    for packet in read_packets(container, stream):
        if packet.size and packet.pos in time_at:
            time = time_at[packet.pos]
            if time is None:
                continue
            packet.pts = time
        # At the end the decoder is asked for what it still holds, until there is no more.
        for _ in range(1 if packet.size else _MAX_FLUSHES):
            try:
                yield from packet.decode()
                break
            except EOFError:
                break
            except av.error.FFmpegError:
                yield None


def is_cut_off(path: Path) -> bool:
    """Whether an MP4, QuickTime, Matroska, WebM, AVI or MPEG-TS file is shorter than it itself says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start[:4] == _EBML:
            return _end_of_segment(file, size) > size
        if start[:4] == b"RIFF":
            return 8 + int.from_bytes(start[4:], "little") > size
        if start[:1] == _TS_SYNC:
            file.seek(_TS_PACKET)
            return file.read(1) == _TS_SYNC and size % _TS_PACKET > 0
        return start[4:] in _FIRST_BOXES and _end_of_boxes(file, size) > size


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Return where the last box ends (ISO 14496-12, section 4.2)."""
    position = 0
    while position + 16 <= size:
        file.seek(position)
        length, _, long_length = struct.unpack(">I4sQ", file.read(16))
        length = long_length if length == 1 else length
        if length < 8:  # 0: this box reaches to the end of the file
            return size
        position += length
    return position


def _end_of_segment(file: BinaryIO, size: int) -> int:
    """Return where a Matroska file's segment ends (RFC 9559); 0 if it does not say."""
    position = 0
    for name in (_EBML, _SEGMENT):
        if position > size:
            break
        file.seek(position)
        start = file.read(12)
        if len(start) < 12 or start[:4] != name:
            return 0
        width = 9 - start[4].bit_length()  # of the length: as many bytes as there are leading zeros, and one
        length = int.from_bytes(start[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if width > 8 or length == (1 << 7 * width) - 1:  # unknown: it was written as it was recorded
            return 0
        position += 4 + width + length
    return position
