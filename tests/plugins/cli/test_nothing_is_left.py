"""What a command refuses leaves nothing behind: no folder, no file, whatever it was refused for."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_plugins.cli.app import _COMMANDS, load_command, main

MODELS = ["--model nanoo", "--model broken.pt", "--model gone.safetensors", "--model nano@37"]
READING = ["--axes QQQ", "--contrast 9,1", "--channel 7", "--fixed Z=9", "--level 9", "--device quantum"]
SIZES = ["--pixel-size 0,µm", "--interval x", "--plane-spacing 1,parsec"]
POLICY = ["--memory-policy motoin"]
WRITING = {
    "segment image.tif --point 20,20 -o new.tif": [*MODELS, *READING, "--csv gone/new.csv"],
    "segment gone.tif --point 20,20 -o new.tif": [""],
    "auto image.tif -o new.tif": [*MODELS, *READING, "--csv gone/new.csv"],
    "auto image.tif --each -o new": [*MODELS, *READING],
    "auto gone.tif --each -o new": [""],
    "track frames.tif --masks masks.tif -o new.tif": [*MODELS, *READING, *POLICY, "--start 99"],
    "track frames.tif --masks masks.tif --session new/new.sam2": [*MODELS, *READING, *POLICY, "--along Q"],
    "track frames.tif --masks gone.tif --session new.sam2": [""],
    "track frames.tif --everything --session new.sam2": [*MODELS, *READING, *POLICY],
    "track frames.tif --everything --each -o new": [*MODELS, *READING, *POLICY],
    "masklets make frames.tif -o new/new": [*MODELS, *READING, "--confidence 9"],
    "masklets make broken.tif -o new": [""],
    "masklets make gone.tif -o new": [""],
    "open frames.tif --session new.sam2": [*MODELS, *READING, *SIZES, "--csv gone/new.csv"],
    "open frames.tif": [*MODELS, *READING, *SIZES],
    "demo --frames frames.tif -o new/new": [*MODELS, *READING, "--point 999,9"],
    "demo -o new/new": MODELS,
    "evaluate --frames frames.tif --masks masks.tif --json new.json --report new": [*MODELS, "--prompt x"],
    "evaluate --data gone --report new": [""],
    "train --data data -o new.safetensors --from nano --steps 1": ["--lora 4 --lora-blocks zzz", "--seed -1"],
    "train --data data -o new.safetensors --steps 1": ["--from nanoo", "--from broken.pt", "--lora 9999"],
    "train --data empty -o new --steps 1": ["", "--run new/new"],
    "export-model": ["nanoo -o new", "broken.pt -o new", "nano -o new --format x"],
    "export work.sam2 -o new": [
        "--format zzz",
        "--format coco --frames gone.tif",
        "--format coco --interval x",
    ],
    "export gone.sam2 --format coco": ["-o new", "--each -o new"],
    "replay": ["gone.sam2 -o new.tif", "work.sam2 -o new.tif --frames gone.tif"],
    "measure": ["gone.sam2 --csv new.csv", *(f"work.sam2 --csv new.csv {one}" for one in SIZES)],
    "doctor": ["-o gone/new.txt"],
}
"""Of command lines what makes each of them one that is refused."""


@pytest.fixture
def folder(
    tmp_path: Path,
    recorded: Path,
    discs: NDArray[np.uint8],
    disc_mask: NDArray[np.bool_],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAM2_SESSIONS", str(tmp_path))
    tifffile.imwrite("frames.tif", discs, metadata={"axes": "TYX"})
    tifffile.imwrite("image.tif", discs[0])
    tifffile.imwrite("masks.tif", disc_mask.astype(np.uint8))
    for name in ("broken.pt", "broken.tif"):
        Path(name).write_bytes(b"II*\0 nothing")
    for name, mask in (("data", disc_mask), ("empty", np.zeros_like(disc_mask))):
        for part in ("images", "masks"):
            Path(name, part).mkdir(parents=True)
        for frame in range(3):
            tifffile.imwrite(Path(name, "images", f"{frame}.tif"), discs[frame])
            tifffile.imwrite(Path(name, "masks", f"{frame}.tif"), mask.astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize("line", WRITING)
def test_what_is_refused_leaves_nothing(folder: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    for wrong in WRITING[line]:
        assert main([*line.split(), *wrong.split()]) == 2, wrong
        assert capsys.readouterr().err.splitlines()[-1].startswith("sam2: "), wrong
        assert sorted(folder.rglob("*")) == before, wrong


def test_every_command_that_writes_is_tried() -> None:
    writing = {
        name for name in _COMMANDS if any("--output" in option.opts for option in load_command(name).params)
    }
    assert writing | {"open", "measure", "masklets"} <= {line.split()[0] for line in WRITING}


def test_some_files_of_many_are_done_all_the_same(
    folder: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["track", "frames.tif", "gone.tif", "--each", "--masks", "masks.tif", "-o", "new"]
    assert main([*both, "--model", str(small_checkpoint)]) == 1
    assert [path.name for path in Path("new").iterdir()] == ["frames.tif"]
