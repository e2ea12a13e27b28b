"""What is fuzzed: one target per kind of input that comes from elsewhere.

A target is given some files; it does with them what people do, and may answer or raise ``InputError``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_inputs import INPUTS
from mutation import Files, pack

from sam2_engine.frames import open_frames

__all__ = ["TARGETS", "Target", "seeds_of"]

SEEDS = Path(__file__).parent / "seeds"


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes
    ----------
    name
        Also of its folder of seeds.
    use
        Takes a path, the folder with the files or the only file, and does what people do with it.
    prepare
        Imports and makes what all executions share.
    seconds
        A reader that works so long on files of kilobytes is a finding.
    """

    name: str
    use: Callable[[Path], object]
    prepare: Callable[[], object] = lambda: None
    seconds: float = 8

    @property
    def inputs(self) -> dict[str, Files]:
        """Valid inputs, by name."""
        return INPUTS[self.name]()

    def run(self, files: Files, place: Path) -> None:
        """Write files below a new folder, and use them."""
        place.mkdir(parents=True)
        written = []
        for name, content in files.items():
            path = place / name
            if place in path.resolve().parents and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                written.append(path)
        self.use(written[0] if len(written) == 1 else place)


def seeds_of(target: Target) -> dict[str, bytes]:
    """Return all inputs to begin with: valid ones, and what was found before."""
    valid = {name: pack(files) for name, files in target.inputs.items()}
    found = {path.stem: path.read_bytes() for path in sorted((SEEDS / target.name).glob("*.zip"))}
    return {**valid, **found}


def read_frames(path: Path, **options: Any) -> None:
    """Open, read the first, the middle and the last frame, and close."""
    with open_frames(path, **options) as frames:
        assert frames.description
        for frame in sorted({0, len(frames) // 2, len(frames) - 1}):
            pixels = frames[frame]
            assert pixels.shape[:2] == frames.shape
            assert pixels.dtype == frames.dtype


TARGETS = {target.name: target for target in [Target("tiff", read_frames)]}
