"""``sam2 evaluate``: its table, JSON and page, and input that it refuses."""

import json
import re

import numpy as np
import pytest
import tifffile
from dataset_folders import davis
from PIL import Image

from sam2_engine.evaluation import evaluate, read_sequences
from sam2_engine.weights.loading import load_model
from sam2_plugins.cli import app as cli
from sam2_plugins.export.evaluation_report import worst_cases


@pytest.fixture
def labels():
    """(8, 60, 80): the two discs of the frames."""
    y, x = np.mgrid[:60, :80]
    stack = np.zeros((8, 60, 80), np.uint8)
    for t, image in enumerate(stack):
        image[(x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100] = 1
        image[(x - 60) ** 2 + (y - 40 + t) ** 2 < 80] = 2
    return stack


@pytest.fixture
def folder(tmp_path, discs, labels, monkeypatch):
    """A folder with ``frames``, ``masks``, and the masks as a stack."""
    for name, images in (("frames", discs), ("masks", labels)):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{number:05d}.png")
    tifffile.imwrite(tmp_path / "masks.tif", labels, metadata={"axes": "TYX"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, capsys, small_checkpoint):
    """Run the command with the small model; return status, standard output and standard error."""

    def run(*arguments):
        given = ["evaluate", "--frames", "frames", "--masks", "masks", "--model", str(small_checkpoint)]
        status = cli.main([*given, "--device", "cpu", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_json_on_standard_output_is_what_the_engine_says(run, folder, small_checkpoint):
    status, out, err = run("--protocol", "vos", "--prompt", "box", "--json", "-")
    assert status == 0
    content = json.loads(out)
    assert "small, box" in err
    (method,) = content["methods"]
    sequences = read_sequences(folder / "frames", folder / "masks")
    (expected,) = evaluate(load_model(small_checkpoint, device="cpu"), sequences, "vos", "box", name="small")
    assert method["J"] == expected.j
    assert method["F"] == expected.f
    assert method["J&F"] == expected.j_and_f
    assert len(method["masks"]) == 2 * 6
    assert {entry["frame"] for entry in method["masks"]} == set(range(1, 7))


@pytest.mark.parametrize("protocol", ["vos", "image"])
def test_a_data_set_gives_the_numbers_of_its_frames_and_masks(folder, capsys, small_checkpoint, protocol):
    root = davis(folder / "set")
    pair = ("--frames", f"{root}/JPEGImages/480p", "--masks", f"{root}/Annotations/480p")
    results = []
    for source in (pair, ("--data", str(root))):
        given = ["--model", str(small_checkpoint), "--device", "cpu", "--protocol", protocol, "--json", "-"]
        assert cli.main(["evaluate", *source, *given]) == 0
        captured = capsys.readouterr()
        results.append(json.loads(captured.out))
    assert results[0] == results[1]
    assert {mask["sequence"] for mask in results[1]["methods"][0]["masks"]} == {"cows", "dogs"}
    assert "2 videos as folders" in captured.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "with --frames and --masks, or else with --data FOLDER"),
        (("--frames", "frames"), "with --frames and --masks, or else with --data FOLDER"),
        (("--frames", "frames", "--data", "."), "with --frames and --masks, or else with --data FOLDER"),
        (("--data", ".", "--channel", "0"), "go with --frames"),
        (("--data", "nowhere"), "There is no folder nowhere"),
        (("--data", "frames"), "No data set is recognized in frames"),
    ],
)
def test_what_to_evaluate_on_is_said_once(folder, capsys, arguments, sentence):
    assert cli.main(["evaluate", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert sentence in captured.err


def test_baselines_stand_in_the_same_table(run, folder):
    pytest.importorskip("cv2")
    pytest.importorskip("ctc_metrics")
    status, out, _ = run("--baselines", "--cell-tracking", "--json", "numbers.json")
    assert status == 0
    methods = json.loads((folder / "numbers.json").read_text())["methods"]
    assert [method["method"] for method in methods] == [
        "small, mask",
        "copy of the first mask",
        "optical flow (DIS)",
    ]
    for method in methods:
        line = next(line for line in out.splitlines() if method["method"] in line)
        numbers = [float(number) for number in re.findall(r"\d\.\d{3}", line)]
        expected = [method[key] for key in ("J&F", "J", "F", "SEG", "DET", "TRA")]
        np.testing.assert_allclose(numbers, expected, atol=5e-4)


def test_the_page_shows_the_worst_cases_first(run, folder, small_checkpoint):
    status, out, _ = run("--protocol", "image", "--report", "page")
    assert status == 0
    assert out.splitlines()[-1] == "page/index.html"
    page = (folder / "page" / "index.html").read_text()
    figures = re.findall(r'img src="([^"]+)"', page)
    assert len(figures) == 16
    for figure in figures:
        with Image.open(folder / "page" / figure) as image:
            assert image.size[0] > image.size[1]
    sequences = read_sequences(folder / "frames", folder / "masks")
    (result,) = evaluate(load_model(small_checkpoint, device="cpu"), sequences, "image")
    cases = worst_cases(result)
    captions = re.findall(r"object (\d+), frame (\d+): J (\d\.\d+)", page)
    assert [(int(i), int(frame)) for i, frame, _ in captions] == [(c.object_id, c.frame) for c in cases]
    scores = [case.j_and_f for case in cases]
    assert scores == sorted(scores)
    again = run("--protocol", "image", "--report", "page", "--overwrite")
    assert again[0] == 0, "a page may be written again"


def test_of_a_video_the_worst_frame_of_each_object_is_shown(run, folder):
    assert run("--report", "page", "--json", "numbers.json")[0] == 0
    page = (folder / "page" / "index.html").read_text()
    masks = json.loads((folder / "numbers.json").read_text())["methods"][0]["masks"]
    shown = {int(i): int(f) for i, f in re.findall(r"object (\d+), frame (\d+)", page)}
    for object_id in (1, 2):
        mine = {mask["frame"]: mask["J"] + mask["F"] for mask in masks if mask["object_id"] == object_id}
        assert mine[shown[object_id]] == min(mine.values())


@pytest.mark.parametrize("protocol", ["offline", "online"])
def test_interactive_protocols_say_each_round_and_the_annotators_time(run, folder, protocol):
    labels = np.zeros((8, 60, 80), np.uint8)
    labels[:4] = (tifffile.imread(folder / "masks.tif")[:4] == 1) * 3
    for number in range(4, 8):
        (folder / "masks" / f"{number:05d}.png").unlink()
    for number in range(4):
        Image.fromarray(labels[number]).save(folder / "masks" / f"{number:05d}.png")
    status, out, _ = run("--protocol", protocol, "--json", "-")
    assert status == 0
    (method,) = json.loads(out)["methods"]
    assert len(method["rounds"]) == len(method["annotation_seconds_per_object"]) == 8
    assert method["J&F"] == pytest.approx(np.mean(method["rounds"]))
    assert {mask["frame"] for mask in method["masks"]} == {0, 1, 2, 3}
    _, out, _ = run("--protocol", protocol, "--rounds", "2", "--json", "-")
    (fewer,) = json.loads(out)["methods"]
    assert fewer["rounds"] == method["rounds"][:2]
    assert fewer["J&F"] == pytest.approx(np.mean(fewer["rounds"]))


def no_masks(folder):
    for path in (folder / "masks").iterdir():
        path.unlink()


def another_size(folder):
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.ones((30, 30), np.uint8)).save(path)


def one_frame(folder):
    for name in ("frames", "masks"):
        for number in range(1, 8):
            (folder / name / f"{number:05d}.png").unlink()


def other_files_in_the_page(folder):
    (folder / "page").mkdir()
    (folder / "page" / "thesis.docx").touch()


@pytest.mark.parametrize(
    ("spoil", "arguments", "sentence"),
    [
        (None, ("--frames", "nothing"), "nothing cannot be opened"),
        (
            None,
            ("--protocol", "movies"),
            "no protocol 'movies'; the protocols are vos, offline, online",
        ),
        (None, ("--prompt", "7-click"), "no prompt '7-click'"),
        (None, ("--protocol", "image", "--prompt", "mask"), "box or clicks"),
        (None, ("--json", "numbers.txt"), "must end in .json"),
        (no_masks, (), "There are no masks in masks"),
        (another_size, (), "30 wide and 30 high, but the frames are 80 wide and 60 high"),
        (one_frame, (), "nothing to score"),
        (other_files_in_the_page, ("--report", "page"), "page holds something else"),
    ],
)
def test_unusable_input_ends_with_one_sentence(run, folder, spoil, arguments, sentence):
    if spoil is not None:
        spoil(folder)
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert sentence in err
    assert not (folder / "numbers.txt").exists()
