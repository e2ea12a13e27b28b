import errno

import numpy as np
import pytest
import tifffile

from sam2_plugins.cli.app import main
from sam2_plugins.everything import run
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import read_session

FEW = ("--everything", "--model", "nano@256", "--points-per-side", "6", "--min-area", "40")


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """A file of two discs that move over noise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    y, x = np.mgrid[:96, :96]
    frames = np.random.default_rng(3).integers(30, 34, (3, 96, 96)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 26 - 3 * t) ** 2 + (y - 26) ** 2 < 160] = 220
        frame[(x - 66) ** 2 + (y - 68 + 2 * t) ** 2 < 200] = 190
    tifffile.imwrite("cells.tif", frames, photometric="minisblack", metadata={"axes": "TYX"})
    return frames


def test_everything_goes_into_a_session_labels_and_a_table(stack, capsys):
    out = ("--session", "cells.sam2", "-o", "labels.tif", "--csv", "cells.csv", "--confidence", "0.6")
    assert main(["track", "cells.tif", *FEW, *out]) == 0
    captured = capsys.readouterr()
    assert "looked for on 3 frames" in captured.out
    assert "objects are looked for on 3 of 3 frames, time not known" in captured.err
    labels = tifffile.imread("labels.tif")
    for value in (220, 190):  # each disc has one number, the same on all frames
        inside = [np.bincount(image[frame == value]) for image, frame in zip(labels, stack)]
        (number,) = {int(counts[1:].argmax()) + 1 for counts in inside}
        assert all(counts[number] > 0.5 * counts.sum() for counts in inside)
    session = read_session("cells.sam2", ModelStore("cpu"))
    assert len(session.objects) == len(np.unique(labels)) - 1
    session.frames.close()
    assert main(["track", "cells.tif", *FEW, *out, "--overwrite"]) == 0
    captured = capsys.readouterr()
    assert f"0 new objects beside {len(session.objects)}, looked for on 3 frames" in captured.out
    assert "objects are looked for on 3 of 3 frames, about" in captured.err  # as the first run took
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), labels)


def test_everything_goes_into_labels_alone(stack, capsys):
    assert main(["track", "cells.tif", *FEW, "--confidence", "0.6", "-o", "labels.tif"]) == 0
    assert tifffile.imread("labels.tif").shape == stack.shape


def test_a_stack_in_which_nothing_is_found_says_so(stack, capsys, tmp_path):
    assert main(["track", "cells.tif", *FEW, "--confidence", "1", "-o", "labels.tif"]) == 2
    assert "nothing was found; lower --confidence" in capsys.readouterr().err
    assert not (tmp_path / "labels.tif").exists()


def test_a_session_in_which_nothing_is_found_is_not_left_behind(stack, capsys, tmp_path):
    assert main(["track", "cells.tif", *FEW, "--confidence", "1", "--session", "cells.sam2"]) == 2
    assert not (tmp_path / "cells.sam2").exists()
    assert main(["track", "cells.tif", *FEW, "--confidence", "0.6", "--session", "cells.sam2"]) == 0
    capsys.readouterr()
    again = ("--confidence", "1", "--model", "nano@320", "--session", "cells.sam2")
    assert main(["track", "cells.tif", *FEW, *again]) == 0  # what is there stays
    assert "cells.sam2 goes on with nano@320; it had nano@256." in capsys.readouterr().err
    session = read_session("cells.sam2", ModelStore("cpu"))
    session.frames.close()
    assert session.objects


def test_what_was_seen_before_the_disk_was_full_is_gone_on_with(stack, capsys, tmp_path, monkeypatch):
    search, write, looked, written = run.find_sightings, np.savez_compressed, [], []

    def counted(session, frame, *rest):
        looked.append(frame)
        return (yield from search(session, frame, *rest))

    def full(*arguments, **arrays):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(write(*arguments, **arrays))

    monkeypatch.setattr(run, "find_sightings", counted)
    monkeypatch.setattr(np, "savez_compressed", full)
    arguments = ["track", "cells.tif", *FEW, "--confidence", "0.6", "--session", "cells.sam2"]
    assert main(arguments) == 2
    assert "No space left on device; make space there." in capsys.readouterr().err
    written.clear()
    assert main(arguments) == 0
    assert looked == [0, 1, 2]
    assert not (tmp_path / "cells.sam2" / "everything").exists()


def test_models_show_a_size_only_if_it_can_be(capsys):
    assert main(["models", "show", "nano@256"]) == 0
    assert "input 256 pixels" in capsys.readouterr().out
    assert main(["models", "show", "nano@7"]) == 2
    assert "must be a positive multiple of 32, not 7." in capsys.readouterr().err
