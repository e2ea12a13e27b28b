"""Sessions from the shell: begun, interrupted, gone on with, corrected by a click, measured, exported."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_plugins.cli.app import main
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import open_session, read_session

Run = Callable[..., str]


@pytest.fixture
def folder(
    tmp_path: Path, discs: NDArray[np.uint8], disc_mask: NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", discs, metadata={"axes": "TYX"})
    tifffile.imwrite("first.tif", np.where(disc_mask, 4, 0).astype(np.uint8))
    Path("clicks.json").write_text(json.dumps([{"frame": 0, "object_id": 1, "points": [[20, 20]]}]))
    return tmp_path


@pytest.fixture
def run(folder: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command and return its standard output; ``model`` gives it the small one."""

    def run(*arguments: object, model: bool = False, status: int = 0) -> str:
        given = [str(argument) for argument in arguments]
        ended = main([*given, "--model", str(small_checkpoint)] if model else given)
        captured = capsys.readouterr()
        assert ended == status, captured.err
        return captured.err if status else captured.out

    return run


def labels_of(session: str | Path) -> NDArray[np.generic]:
    read = read_session(session, ModelStore("cpu"))
    with read.frames:
        return np.stack([read.label_image(frame) for frame in range(len(read))])


def masks_of(session: str, object_id: int) -> NDArray[np.bool_]:
    read = read_session(session, ModelStore("cpu"))
    with read.frames:
        masks = [read.mask(object_id, frame) for frame in range(len(read))]
    return np.stack([np.zeros(read.shape, bool) if mask is None else mask for mask in masks])


def test_a_session_is_begun_prompted_tracked_and_exported(run: Run, session: AnnotationSession) -> None:
    assert "cells.sam2: cells.tif: T=8 Y=60 X=80, 0 objects" in run("open", "cells.tif", model=True)
    assert run("prompt", "cells.sam2", "--frame", 0, "--point", "20,20").startswith("object 1 on frame 0: ")
    run("prompt", "cells.sam2", "--frame", 0, "--object", "right one", "--box", "50,30,70,50")
    assert "8 of 8 frames, 2 objects" in run("propagate", "cells.sam2")
    state = run("open", "cells.sam2")
    assert "2 objects, 16 masks, 0 verified" in state
    assert "right one" in state
    run("export", "cells.sam2", "-o", "labels.tif")
    session.add_points(0, session.add_object(), (20, 20))
    session.add_box(0, session.add_object(), (50, 30, 70, 50))
    session.propagate()
    expected = [session.label_image(frame) for frame in range(8)]
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), expected)


def test_one_frame_is_corrected_and_the_rest_follows(run: Run) -> None:
    track = ("track", "cells.tif", "--prompts", "clicks.json", "--session", "cells.sam2")
    assert "8 of 8 frames, 1 object" in run(*track, "-o", "labels.tif", model=True)
    before = labels_of("cells.sam2")
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), before)
    run("prompt", "cells.sam2", "--frame", 4, "--object", 1, "--box", "50,26,70,46", "--replace")
    assert "4 of 4 frames" in run("propagate", "cells.sam2", "--object", 1, "--start", 4)
    after = labels_of("cells.sam2")
    np.testing.assert_array_equal(after[:4], before[:4])
    assert all((after[frame] != before[frame]).any() for frame in range(4, 8))
    assert after[6, 34, 60] == 1  # on the other disc


def test_what_is_said_of_a_session_that_is_there_is_obeyed_or_refused(run: Run) -> None:
    track = ("track", "cells.tif", "--prompts", "clicks.json", "--session", "cells.sam2")
    run(*track, "--contrast", "0,200", model=True)
    assert "nothing was left" in run(*track, "--contrast", "0,200", "--axes", "TYX", model=True)
    assert "nothing was left" in run(*track, "--model", "nano@64")
    assert "model nano@64" in run("open", "cells.sam2")
    for option, value, sentence in (
        ("--contrast", "0,100", "another contrast"),
        ("--axes", "ZYX", "leave --axes out"),
        ("--channel", "1", "leave --channel out"),
    ):
        assert sentence in run(*track, option, value, status=2)


def test_a_new_prompt_in_the_file_does_the_same(run: Run) -> None:
    track = ("track", "cells.tif", "--prompts", "clicks.json", "--session", "cells.sam2")
    run(*track, model=True)
    before = labels_of("cells.sam2")
    assert "nothing was left to track" in run(*track, model=True)
    entries = json.loads(Path("clicks.json").read_text())
    entries.append({"frame": 5, "object_id": 1, "box": [50, 25, 70, 45]})
    Path("clicks.json").write_text(json.dumps(entries))
    assert "3 of 3 frames" in run(*track, model=True)
    after = labels_of("cells.sam2")
    np.testing.assert_array_equal(after[:5], before[:5])
    assert (after[5:] != before[5:]).any()


def test_an_object_that_is_added_to_a_finished_session_is_counted_once(run: Run) -> None:
    track = ("track", "cells.tif", "--prompts", "clicks.json", "--session", "cells.sam2")
    run(*track, model=True)
    entries = json.loads(Path("clicks.json").read_text())
    entries.append({"frame": 3, "object_id": 2, "box": [50, 27, 70, 47]})
    Path("clicks.json").write_text(json.dumps(entries))
    assert "5 of 5 frames, 2 objects" in run(*track, model=True)
    assert "nothing was left to track, 2 objects" in run(*track, model=True)
    run("prompt", "cells.sam2", "--frame", 2, "--object", 3, "--box", "50,27,70,47")
    entries.append({"frame": 6, "object_id": 3, "box": [50, 25, 70, 45]})
    Path("clicks.json").write_text(json.dumps(entries))
    # from the new box on, and then what is missing before it: of frames 2 to 5 all but the prompted one
    assert "5 of 5 frames, 3 objects" in run(*track, model=True)
    assert len(masks_of("cells.sam2", 3)[2:].any((1, 2))) == 6


def test_a_result_is_a_start(run: Run, session: AnnotationSession) -> None:
    """Frames without an object, as Ctrl-C leaves them, are tracked; a click corrects the rest, too."""
    start = ("track", "cells.tif", "--masks", "first.tif")
    run(*start, "--stop", 4, "-o", "part.tif", model=True)
    part = tifffile.imread("part.tif")
    assert not part[5:].any()
    assert "3 of 3 frames, 1 object" in run(
        "track", "cells.tif", "--masks", "part.tif", "-o", "all.tif", model=True
    )
    whole = tifffile.imread("all.tif")
    np.testing.assert_array_equal(whole[:5], part[:5])
    assert whole[5:].any(axis=(1, 2)).all()
    Path("clicks.json").write_text(
        json.dumps(
            [
                {"frame": 3, "object_id": 4, "box": [50, 27, 70, 47]},
                {"frame": 3, "object_id": 9, "points": [[26, 20]]},
            ]
        )
    )
    again = ("track", "cells.tif", "--masks", "all.tif", "--prompts", "clicks.json", "-o", "corrected.tif")
    run(*again, model=True)
    corrected = tifffile.imread("corrected.tif")
    np.testing.assert_array_equal(corrected[:3], whole[:3])
    assert (corrected[3:] != whole[3:]).any(axis=(1, 2)).all()
    assert 9 in corrected[3:]


def test_masks_and_prompts_together(run: Run) -> None:
    Path("clicks.json").write_text(json.dumps([{"frame": 2, "object_id": 9, "points": [[60, 38]]}]))
    run(
        "track",
        "cells.tif",
        "--masks",
        "first.tif",
        "--prompts",
        "clicks.json",
        "-o",
        "labels.tif",
        model=True,
    )
    labels = tifffile.imread("labels.tif")
    assert set(np.unique(labels[:2])) == {0, 4}
    assert 9 in labels[2:]


def test_what_was_interrupted_goes_on(
    run: Run, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after three frames; the same command does the others, as if nothing had happened."""
    track = ("track", "cells.tif", "--prompts", "clicks.json")
    done = AnnotationSession.iter_propagate

    def interrupted(self: AnnotationSession, *arguments: object, **options: object) -> object:
        for number, result in enumerate(done(self, *arguments, **options)):  # type: ignore[arg-type]
            yield result
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(AnnotationSession, "iter_propagate", interrupted)
        run(*track, "--session", "cells.sam2", "-o", "labels.tif", model=True, status=130)
    assert not Path("labels.tif").exists()
    assert labels_of("cells.sam2").any(axis=(1, 2)).tolist() == [True] * 3 + [False] * 5
    assert "5 of 5 frames" in run(*track, "--session", "cells.sam2", "-o", "labels.tif", model=True)
    run(*track, "-o", "at_once.tif", model=True)
    labels, at_once = tifffile.imread("labels.tif"), tifffile.imread("at_once.tif")
    assert (labels != at_once).mean() < 0.01  # memories are made from masks, no longer from logits


def test_killed_while_it_tracks_it_loses_nothing(folder: Path, run: Run, small_checkpoint: Path) -> None:
    run("open", "cells.tif", model=True)
    run("prompt", "cells.sam2", "--frame", 0, "--point", "20,20")
    slow = (
        "import time; from sam2_plugins.session.annotation_session import AnnotationSession as A\n"
        "done = A.iter_propagate\n"
        "def slow(self, *a, **k):\n"
        "    for n, result in enumerate(done(self, *a, **k)):\n"
        "        yield result\n"
        "        print(n, flush=True); time.sleep(0.2 if n < 3 else 60)\n"
        "A.iter_propagate = slow\n"
        "from sam2_plugins.cli.app import main; main(['propagate', 'cells.sam2', '--device', 'cpu'])"
    )
    process = subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "3":
            break
    refused = run("verify", "cells.sam2", "--object", 1, status=2)
    assert "cells.sam2 is open in another window or process; close it there first." in refused
    process.kill()
    process.communicate()
    assert labels_of("cells.sam2").any(axis=(1, 2)).tolist() == [True] * 4 + [False] * 4
    assert "4 of 4 frames" in run("propagate", "cells.sam2", "--missing-only")


def test_decisions_and_undo(run: Run) -> None:
    run("track", "cells.tif", "--masks", "first.tif", "--session", "cells.sam2", model=True)
    assert "verified on frames 0 to 2" in run("verify", "cells.sam2", "--object", 4, "--frames", "0-1,2")
    assert "object 4 ends before frame 5; its daughters are 5, 6" in run(
        "divide", "cells.sam2", "--object", 4, "--frame", 5
    )
    assert labels_of("cells.sam2")[4:6].any(axis=(1, 2)).tolist() == [True, False]
    assert run("undo", "cells.sam2") == "undone: divide object 4\n"
    assert labels_of("cells.sam2")[5].any()
    run("undo", "cells.sam2", "--redo")
    run("undo", "cells.sam2", "--steps", 2)
    session, saved = open_session("cells.sam2", ModelStore("cpu"))
    assert not session.verified(4)
    assert list(session.objects) == [4]
    saved.close()
    assert "There is nothing to redo" not in run("undo", "cells.sam2", "--redo")
    run("undo", "cells.sam2", "--steps", 9)
    assert "There is nothing to undo in cells.sam2." in run("undo", "cells.sam2", status=2)
    run("replay", "cells.sam2")


def test_undo_of_what_was_done_before_lasts_over_openings(run: Run) -> None:
    """Also when what is older was not looked at, and after a step that takes redo away."""
    run("track", "cells.tif", "--masks", "first.tif", "--session", "cells.sam2", model=True)
    whole = labels_of("cells.sam2")
    for frame in (6, 4):
        run("split", "cells.sam2", "--object", 4, "--frame", frame)
    run("verify", "cells.sam2", "--object", 4)
    assert run("undo", "cells.sam2", "--steps", 2) == "undone: verify object 4, split object 4\n"
    run("verify", "cells.sam2", "--object", 4, "--frames", 0)
    assert "nothing to redo" in run("undo", "cells.sam2", "--redo", status=2)
    run("undo", "cells.sam2", "--steps", 2)
    np.testing.assert_array_equal(labels_of("cells.sam2"), whole)
    file = Path("cells.sam2/undo.jsonl")
    file.write_text(file.read_text()[:-20])  # cut off by another program
    assert "nothing to undo" in run("undo", "cells.sam2", status=2)
    np.testing.assert_array_equal(labels_of("cells.sam2"), whole)


def test_a_session_that_is_open_elsewhere_is_read_all_the_same(run: Run) -> None:
    run("track", "cells.tif", "--masks", "first.tif", "--session", "cells.sam2", model=True)
    _, opened = open_session("cells.sam2", ModelStore("cpu"))
    try:
        assert "is open in another window or process" in run("undo", "cells.sam2", status=2)
        run("review", "cells.sam2")
        run("measure", "cells.sam2", "--csv", "cells.csv")
        run("export", "cells.sam2", "-o", "labels.tif")
    finally:
        opened.close()


def test_sizes_of_a_session_are_kept_and_empty_masks_are_said(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("open", "cells.tif", "--pixel-size", "0.5,µm", "--interval", "5,min", model=True)
    run("prompt", "cells.sam2", "--frame", 0, "--mask", "first.tif")
    run("measure", "cells.sam2", "--csv", "cells.csv")
    assert "area (µm²)" in Path("cells.csv").read_text(encoding="utf-8")
    monkeypatch.setattr(np, "count_nonzero", lambda mask: 0)
    assert main(["prompt", "cells.sam2", "--frame", "1", "--object", "1", "--point", "22,20"]) == 0
    assert "Object 1 is empty on frame 1: the model sees nothing there." in capsys.readouterr().err


def test_merge_swap_and_split(run: Run, disc_mask: NDArray[np.bool_]) -> None:
    labels = np.where(disc_mask, 1, 0).astype(np.uint8)
    labels[35:45, 55:65] = 2
    tifffile.imwrite("two.tif", labels)
    run("track", "cells.tif", "--masks", "two.tif", "--session", "cells.sam2", model=True)
    one, two = masks_of("cells.sam2", 1), masks_of("cells.sam2", 2)
    run("swap", "cells.sam2", "--object", 1, "--with", 2, "--frame", 4)
    swapped = masks_of("cells.sam2", 1)
    np.testing.assert_array_equal(swapped, [*one[:4], *two[4:]])
    assert "from there on it is object 3" in run("split", "cells.sam2", "--object", 1, "--frame", 6)
    assert not masks_of("cells.sam2", 1)[6:].any()
    run("merge", "cells.sam2", "--object", 1, "--with", 3)
    np.testing.assert_array_equal(masks_of("cells.sam2", 1), swapped)


def test_where_an_object_is_not_and_where_it_came_from(run: Run, disc_mask: NDArray[np.bool_]) -> None:
    labels = np.where(disc_mask, 1, 0).astype(np.uint8)
    labels[35:45, 55:65] = 2
    tifffile.imwrite("two.tif", labels)
    run("track", "cells.tif", "--masks", "two.tif", "--session", "cells.sam2", model=True)
    said = run("absent", "cells.sam2", "--object", 2, "--frame", 0, "--last", 4)
    assert said == "object 2 is absent on frames 0 to 4\n"
    assert not masks_of("cells.sam2", 2)[:5].any()
    assert "still there on frame 7" in run("parents", "cells.sam2", "--object", 2, "--of", 1, status=2)
    assert run("end", "cells.sam2", "--object", 1, "--frame", 5) == "object 1 ends before frame 5\n"
    assert run("parents", "cells.sam2", "--object", 2, "--of", 1) == "object 2 came from object 1\n"
    assert run("parents", "cells.sam2", "--object", 2) == "object 2 came from no other\n"
    for _ in range(4):
        run("undo", "cells.sam2")
    run("prompt", "cells.sam2", "--frame", 0, "--object", "right one", "--box", "50,30,70,50")
    said = run("verify", "cells.sam2", "--object", "right one")
    assert said == "object 3 (right one) is verified on frames 0\n"
    assert masks_of("cells.sam2", 2)[:5].any(axis=(1, 2)).all()


def test_a_range_of_frames_that_no_stack_has_is_refused_at_once(run: Run) -> None:
    run("open", "cells.tif", model=True)
    run("prompt", "cells.sam2", "--frame", 0, "--mask", "first.tif")
    said = run("verify", "cells.sam2", "--object", 4, "--frames", "0-99999999999", status=2)
    assert "no stack has so many frames" in said


def test_review_says_what_to_look_at(run: Run) -> None:
    run("track", "cells.tif", "--masks", "first.tif", "--session", "cells.sam2", model=True)
    assert "reason" in run("review", "cells.sam2", "--top", 2)
    rows = list(csv.DictReader(run("review", "cells.sam2", "--csv", "-").splitlines()))
    assert len(rows) == 7
    doubts = [float(row["doubt"]) for row in rows]
    assert doubts == sorted(doubts, reverse=True)
    assert all(row["object"] == "4" and row["reason"] for row in rows)


def test_many_stacks_each_with_its_session_in_one_table(run: Run, discs: NDArray[np.uint8]) -> None:
    Path("stacks").mkdir()
    for day in (1, 2):
        tifffile.imwrite(f"stacks/day{day}.tif", discs, metadata={"axes": "TYX"})
    stacks = ("stacks/day1.tif", "stacks/day2.tif")
    run("track", *stacks, "--each", "--prompts", "clicks.json", "--session", "work", model=True)
    sessions = ("work/day1.sam2", "work/day2.sam2")
    run("measure", *sessions, "--csv", "all.csv", "--pixel-size", "0.5,µm", "--interval", "5,min")
    with Path("all.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert "need a folder for theirs" in run(
        "track", *stacks, "--each", "--prompts", "clicks.json", "--session", sessions[0], status=2
    )
    assert [row["session"] for row in rows] == ["day1"] * 8 + ["day2"] * 8
    area = np.count_nonzero(labels_of(sessions[1])[7])
    assert float(rows[-1]["area (µm²)"]) == pytest.approx(area / 4)
    assert float(rows[-1]["time (min)"]) == 35


def test_what_is_no_volume_keeps_no_volume_from_being_measured(run: Run, discs: NDArray[np.uint8]) -> None:
    """Was: the command stopped at the first time-lapse, without a table."""
    tifffile.imwrite("volume.tif", discs, metadata={"axes": "ZYX"})
    for name in ("cells", "volume"):
        run("open", f"{name}.tif", model=True)
        run("prompt", f"{name}.sam2", "--frame", 0, "--mask", "first.tif")
    sessions = ("cells.sam2", "volume.sam2")
    said = run("measure", *sessions, "--volumes", "--csv", "all.csv", status=1)
    assert "cells.sam2: The frames of" in said
    assert "are times" in said
    assert "1 row of 1 session" in said
    with Path("all.csv").open(encoding="utf-8") as file:
        assert [row["session"] for row in csv.DictReader(file)] == ["volume"]
    assert "are times" in run("measure", "cells.sam2", "--volumes", "--csv", "no.csv", status=2)
    shutil.copytree("cells.sam2", "other.sam2")
    run("measure", "cells.sam2", "other.sam2", "--volumes", "--csv", "no.csv", status=1)
    assert not Path("no.csv").exists()


def test_no_session_is_left_with_a_model_that_is_not_there(run: Run) -> None:
    for what in (("--masks", "first.tif"), ("--everything",)):
        said = run("track", "cells.tif", *what, "--model", "no", "--session", "new.sam2", status=2)
        assert "There is no model 'no'" in said
        assert not Path("new.sam2").exists()


def test_rows_of_sessions_of_one_name_are_told_apart(run: Run) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        shutil.copy("cells.tif", f"{folder}/cells.tif")
        run("open", f"{folder}/cells.tif", model=True)
        run("prompt", f"{folder}/cells.sam2", "--frame", 0, "--mask", "first.tif")
    run("measure", "a/cells.sam2", "b/cells.sam2", "--csv", "all.csv")
    with Path("all.csv").open(encoding="utf-8") as file:
        assert {row["session"] for row in csv.DictReader(file)} == {"a/cells", "b/cells"}
    assert "given twice" in run("measure", "a/cells.sam2", "./a/cells.sam2", "--csv", "no.csv", status=2)


def test_sizes_along_axes_that_frames_do_not_have_are_refused(run: Run, discs: NDArray[np.uint8]) -> None:
    """Was: they were stored, and had no effect."""
    tifffile.imwrite("volume.tif", discs, metadata={"axes": "ZYX"})
    tifffile.imwrite("both.tif", np.stack([discs, discs]), metadata={"axes": "TZYX"})
    size = ("--pixel-size", "0.5,µm")
    refused = run("open", "volume.tif", *size, "--interval", "5,min", model=True, status=2)
    assert "planes of one time, with no time between them; leave --interval out" in refused
    refused = run("open", "cells.tif", *size, "--plane-spacing", "2,µm", model=True, status=2)
    assert "are times, not planes of a volume; leave --plane-spacing out" in refused
    run("open", "cells.tif", model=True)
    said = run("export", "cells.sam2", "-o", "cells.csv", *size, "--plane-spacing", "2,µm", status=2)
    assert "leave --plane-spacing out" in said
    said = run("measure", "cells.sam2", "--csv", "cells.csv", *size, "--plane-spacing", "2,µm", status=2)
    assert "leave --plane-spacing out" in said
    both = (*size, "--interval", "5,min", "--plane-spacing", "2,µm")
    run("open", "both.tif", "--fixed", "T=0", *both, model=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("track", "cells.tif", "--session", "new.sam2"),
            "say what to track, with --masks LABELS, --prompts JSON, or --everything",
        ),
        (("track", "cells.tif", "--prompts", "clicks.json"), "Say where the result goes"),
        (("track", "cells.tif", "--prompts", "clicks.json", "--session", "."), "is not a session folder"),
        (("prompt", "cells.tif", "--frame", "0", "--point", "1,1"), "is not a session folder"),
        (("prompt", "cells.sam2", "--frame", "0"), "Say where the object is"),
        (("prompt", "cells.sam2", "--frame", "9", "--point", "1,1"), "no frame 9"),
        (("prompt", "cells.sam2", "--frame", "0", "--point", "99,1"), "lies outside the frame"),
        (("propagate", "cells.sam2"), "There is nothing to track yet"),
        (("propagate", "cells.sam2", "--object", "7"), "There is no object 7; there are: none."),
        (("propagate", "cells.sam2", "--direction", "up"), "There is no direction 'up'"),
        (
            ("verify", "cells.sam2", "--object", "1", "--frames", "3-1"),
            "--frames 3-1: give numbers as 0-29,31",
        ),
        (("undo", "cells.sam2"), "There is nothing to undo in cells.sam2."),
        (("review", "nothing.sam2"), "is not a session folder"),
    ],
)
def test_refusals(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    run("open", "cells.tif", model=True)
    assert sentence in run(*arguments, status=2)
    assert "0 objects" in run("open", "cells.sam2")
