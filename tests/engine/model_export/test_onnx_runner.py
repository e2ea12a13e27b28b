"""The runner without PyTorch beside the predictor and the session, and folders that it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sam2_engine.onnx_runner
from sam2_engine import ImagePredictor, InputError, VideoSession
from sam2_engine.modeling.sam2 import Sam2

pytest.importorskip("onnxruntime")

from sam2_engine.onnx_runner import ExportedModel, ImageSegmenter, ModelFolderError, VideoTracker
from sam2_engine.onnx_runner.files import FrameFolder

RUNNER = Path(sam2_engine.onnx_runner.__file__).parent


def drawn_frames(count: int = 12) -> np.ndarray:
    """Return a bright disc that moves over noise, (T, 90, 120, 3) uint8."""
    y, x = np.ogrid[:90, :120]
    noise = np.random.default_rng(0).integers(0, 90, (count, 90, 120, 3), np.uint8)
    for t in range(count):
        noise[t][np.hypot(x - 30 - 4 * t, y - 40) < 14] += 150
    return noise


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / max(1, np.count_nonzero(a | b))


def test_masks_of_an_image_are_those_of_the_predictor(small_model: Sam2, exported: Path) -> None:
    image = drawn_frames(1)[0]
    predictor = ImagePredictor(small_model)
    predictor.set_image(image)
    segmenter = ImageSegmenter(ExportedModel(exported, threads=1), image)
    for prompt in (
        {"points": [[30, 40]], "labels": [1]},
        {"points": [[30, 40], [90, 10]], "labels": [1, 0]},
        {"box": [15, 25, 45, 55]},
    ):
        for several in (True, False):
            named = {
                {"points": "point_coords", "labels": "point_labels"}.get(k, k): v for k, v in prompt.items()
            }
            expected, _, low_res = predictor.predict(**named, multimask_output=several)
            masks, predicted = segmenter.predict(**prompt, several=several)
            assert np.abs(predicted.logits - low_res).max() < 1e-3
            assert min(map(iou, masks, expected)) > 0.99


def test_a_mask_is_corrected_as_the_predictor_does(small_model: Sam2, exported: Path) -> None:
    image = drawn_frames(1)[0]
    predictor = ImagePredictor(small_model)
    predictor.set_image(image)
    segmenter = ImageSegmenter(ExportedModel(exported, threads=1), image)
    _, first = segmenter.predict(points=[[30, 40]], several=False)
    clicks = [[30, 40], [80, 60]], [1, 0]
    _, _, low_res = predictor.predict(*clicks, mask_input=first.logits, multimask_output=False)
    _, predicted = segmenter.predict(*clicks, mask_logits=first.logits[0], several=False)
    assert np.abs(predicted.logits - low_res).max() < 1e-3


def test_a_video_is_tracked_as_the_session_does(small_model: Sam2, exported: Path) -> None:
    frames = drawn_frames()
    session = VideoSession(small_model, frames, remove_small_components=False)
    tracker = VideoTracker(ExportedModel(exported, threads=1), frames)
    for one in (session, tracker):
        one.add_prompt(0, 1, points=[[30, 40]])
        one.add_prompt(0, 2, box=[80, 10, 110, 40])
        one.add_prompt(0, 2, points=[[90, 20]])
        one.add_prompt(4, 3, points=[[46, 40], [100, 80]], labels=[1, 0])
        one.add_prompt(7, 1, points=[[58, 40]])
    seen = 0
    for result, (frame, logits) in zip(session.propagate(), tracker.propagate(), strict=True):
        assert result.frame == frame
        assert result.object_ids == tuple(logits)
        masks = tracker.masks(frame, logits)
        for index, object_id in enumerate(result.object_ids):
            assert np.abs(logits[object_id] - result.low_res_logits[index]).max() < 0.02
            assert iou(masks[object_id], result.masks[index]) > 0.99
            seen += 1
    assert seen == 12 + 12 + 8


WITHOUT_PYTORCH = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sam2_engine", "onnx", "onnxscript"):
            raise ImportError(f"{name} is not for the runner")
sys.meta_path.insert(0, Refusing())
import runpy
sys.argv[0] = "onnx_runner"
runpy.run_module("onnx_runner", run_name="__main__")
"""


def run_alone(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_PYTORCH, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_it_runs_where_there_is_no_pytorch(small_model: Sam2, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(RUNNER, tmp_path / "onnx_runner")
    frames = drawn_frames(3)
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{t}.png")
    done = run_alone(tmp_path, exported, "frames/0.png", "--point", "30,40", "-o", "mask.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "mask.png") as image:
        mask = np.asarray(image) > 0
    predictor = ImagePredictor(small_model)
    predictor.set_image(frames[0])
    expected, scores, _ = predictor.predict([[30, 40]], [1])
    assert iou(mask, expected[scores.argmax()]) > 0.99
    done = run_alone(tmp_path, exported, "frames", "--box", "15,25,45,55", "-o", "masks")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["0.png", "1.png", "2.png"]
    Image.fromarray(frames[0][..., 0].astype(np.uint16) * 140).save(tmp_path / "deep.png")
    done = run_alone(tmp_path, exported, "deep.png", "--point", "30,40", "-o", "deep_mask.png")
    assert "deep.png is not one image of 8 bits" in done.stderr
    assert (done.returncode, (tmp_path / "deep_mask.png").exists()) == (1, False)
    done = run_alone(tmp_path, tmp_path, "frames/0.png", "--point", "30,40", "-o", "other.png")
    assert done.stderr.strip().endswith("holds no card.json: give the folder that `sam2 export-model` wrote.")
    assert done.returncode == 1


def changed_card(folder: Path, **values: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | values))


def test_what_does_not_fit_together_is_refused(exported: Path, tmp_path: Path) -> None:
    def copied(name: str) -> Path:
        return Path(shutil.copytree(exported, tmp_path / name))

    other = copied("version")
    changed_card(other, format_version=2)
    with pytest.raises(ModelFolderError, match="version 2 of exported models, and this runner knows 1"):
        ExportedModel(other)
    other = copied("weights")
    changed_card(other, fingerprint="0" * 16, model="nano")
    with pytest.raises(ModelFolderError, match=r"of other weights or another size \(small-test\)"):
        ExportedModel(other)
    other = copied("format")
    changed_card(other, file_format="torch")
    with pytest.raises(ModelFolderError, match="was exported as torch, for PyTorch"):
        ExportedModel(other)
    other = copied("exchanged")
    shutil.copy(other / "memory_encoder.onnx", other / "mask_decoder.onnx")
    with pytest.raises(ModelFolderError, match="is a memory_encoder, not a mask_decoder"):
        ExportedModel(other)
    other = copied("damaged")
    (other / "image_encoder.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFolderError, match=r"cannot be loaded by ONNX Runtime .*: export it again\.$"):
        ExportedModel(other)
    (other / "image_encoder.onnx").unlink()
    with pytest.raises(ModelFolderError, match="is missing: export the model again"):
        ExportedModel(other)
    (other / "card.json").write_text("[]")
    with pytest.raises(ModelFolderError, match="is no card of an exported model"):
        ExportedModel(other)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"parts": []}, "is damaged or was edited: export it again"),
        ({"parts": {"image_encoder": {"file": "../image_encoder.onnx", "outputs": []}}}, "is damaged or"),
        ({"image_size": "x"}, "is damaged or was edited"),
        ({"mean": "x"}, "is damaged or was edited"),
        ({"masks": None}, "is damaged or was edited"),
        ({"image_size": 1024}, "card.json says other rules for pixels or masks than image_encoder.onnx was"),
        (
            {"mean": [0.5, 0.5, 0.5]},
            "other rules for pixels or masks .*: it was edited; export",
        ),
        ({"keeps_aspect_ratio": True}, "other rules for pixels or masks"),
    ],
)
def test_a_card_that_was_edited_is_refused(
    values: dict[str, object], sentence: str, exported: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(exported, tmp_path / "edited"))
    changed_card(other, **values)
    with pytest.raises(ModelFolderError, match=sentence):
        ExportedModel(other)


@pytest.mark.parametrize("table", ["masks", "memory", "parts"])
def test_every_number_of_a_card_by_which_masks_are_made_is_bound(
    table: str, exported: Path, tmp_path: Path
) -> None:
    card = json.loads((exported / "card.json").read_text())
    for name, value in card[table].items():
        if table == "parts":
            edited = {**value, "outputs": [*value["outputs"], "more"]}
        else:
            edited = 1 if isinstance(value, str) else value + 1
        other = Path(shutil.copytree(exported, tmp_path / name))
        changed_card(other, **{table: {**card[table], name: edited}})
        with pytest.raises(ModelFolderError, match="other rules for pixels or masks"):
            ExportedModel(other)


def test_planes_that_would_be_squashed_for_a_model_that_pads_are_refused(exported: Path) -> None:
    model = ExportedModel(exported)
    model.card["keeps_aspect_ratio"] = True  # as that of a model that pads says
    with pytest.raises(ValueError, match="give an image of 80 x 80, with zeros on the right or below"):
        model.encode(np.zeros((60, 80), np.uint8))


def test_prompts_that_cannot_be_are_refused(exported: Path) -> None:
    model, frames = ExportedModel(exported, threads=1), drawn_frames(3)
    with pytest.raises(ValueError, match=r"^Give points, a box, or both\.$"):
        ImageSegmenter(model, frames[0]).predict()
    with pytest.raises(ValueError, match="2 points and 1 labels"):
        ImageSegmenter(model, frames[0]).predict(points=[[1, 2], [3, 4]], labels=[1])
    with pytest.raises(ValueError, match=r"^An image is \(H, W\) or \(H, W, 3\) of 8 bits, not .* float64"):
        ImageSegmenter(model, frames[0] / 255)
    tracker = VideoTracker(model, frames)
    with pytest.raises(ValueError, match="Prompt an object first"):
        next(tracker.propagate())
    tracker.add_prompt(0, 1, points=[[30, 40]])
    assert len(list(tracker.propagate())) == 3
    with pytest.raises(ValueError, match="Frame 2 was tracked already"):
        tracker.add_prompt(2, 1, points=[[30, 40]])


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ({"points": [[130, 40]]}, r"^The point \(130, 40\) lies outside the image, which is 120 wide and 90"),
        ({"points": [[30, -2]]}, "lies outside the image"),
        ({"points": [[30, 90]]}, "lies outside the image"),
        ({"points": [[30, np.nan]]}, "NaN or infinite"),
        ({"points": [[1e39, 20]]}, "NaN or infinite"),
        ({"points": [[1, 2, 3]]}, r"list of \(x, y\) pairs"),
        ({"points": []}, r"list of \(x, y\) pairs"),
        ({"points": [["a", 2]]}, "are not numbers"),
        ({"points": [[1, 2], [3]]}, "are not numbers, or not in equal rows"),
        ({"points": [[30, 40]], "labels": [2]}, r"label is 1 \(inside the object\) or 0 \(outside\), not"),
        ({"points": [[30, 40]], "labels": [-1]}, "label is 1"),
        ({"points": [[30, 40]], "labels": [0.5]}, "label is 1"),
        ({"points": [[30, 40]], "labels": [0]}, "All clicks are outside of the object"),
        ({"points": [[30, 40], [30, 40]], "labels": [1, 0]}, "both as inside and as outside"),
        ({"labels": [1]}, "labels and no points"),
        ({"box": [1, 2, 3]}, r"A box is \(x0, y0, x1, y1\), not 3 numbers"),
        ({"box": [50, 20, 30, 40]}, "ends before it begins"),
        ({"box": [130, 20, 150, 40]}, "lies outside the image"),
        ({"box": [0.1, 0.1, 0.5, 0.5]}, "in fractions of the image"),
        ({"box": [1, np.nan, 3, 4]}, "NaN or infinite"),
        ({}, "Give points, a box, or both"),
    ],
)
def test_the_runner_refuses_what_the_engine_refuses(
    prompt: dict[str, Any], sentence: str, small_model: Sam2, exported: Path
) -> None:
    frames, model = drawn_frames(2), ExportedModel(exported, threads=1)
    tracker = VideoTracker(model, frames)
    with pytest.raises(ValueError, match=sentence):
        ImageSegmenter(model, frames[0]).predict(**prompt)
    with pytest.raises(ValueError, match=sentence):
        tracker.add_prompt(0, 1, **prompt)
    with pytest.raises(ValueError, match="Prompt an object first"):  # and nothing is left of it
        next(tracker.propagate())
    if "points" in prompt or "box" in prompt:
        with pytest.raises(InputError):
            VideoSession(small_model, frames).add_prompt(0, 1, **prompt)


def test_prompts_at_the_edges_are_those_of_the_engine(small_model: Sam2, exported: Path) -> None:
    frames, model = drawn_frames(1), ExportedModel(exported, threads=1)
    predictor = ImagePredictor(small_model)
    predictor.set_image(frames[0])
    _, predicted = ImageSegmenter(model, frames[0]).predict(box=[-20, 25, 45, 300])
    _, _, low_res = predictor.predict(box=[-20, 25, 45, 300])
    assert np.abs(predicted.logits - low_res).max() < 1e-3
    with pytest.warns(UserWarning, match="in pixels, not in fractions"):
        ImageSegmenter(model, frames[0]).predict(points=[[0.3, 0.4]])


def test_earlier_masks_of_other_sizes_are_refused(small_model: Sam2, exported: Path) -> None:
    image = drawn_frames(1)[0]
    predictor = ImagePredictor(small_model)
    predictor.set_image(image)
    segmenter = ImageSegmenter(ExportedModel(exported, threads=1), image)
    masks, first = segmenter.predict(points=[[30, 40]], several=False)
    damaged = first.logits[0].copy()
    damaged[3, 3] = np.nan
    for given in (masks[0], first.logits, first.logits[0] > 0, first.logits[0][:5], damaged):
        with pytest.raises(ValueError, match="earlier mask"):
            segmenter.predict(points=[[30, 40]], mask_logits=given)
    with pytest.raises(InputError, match="NaN"):
        predictor.predict([[30, 40]], [1], mask_input=damaged[None])
    corrected, _ = segmenter.predict(points=[[80, 60]], labels=[0], mask_logits=first.logits[0])
    assert corrected.shape == (3, 90, 120)


def test_frames_that_are_not_there_or_of_another_size_are_refused(exported: Path) -> None:
    frames = [*drawn_frames(3)]
    tracker = VideoTracker(ExportedModel(exported, threads=1), frames)
    for frame in (-1, 3):
        with pytest.raises(ValueError, match=f"There is no frame {frame}: there are 3, counted from 0"):
            tracker.add_prompt(frame, 1, points=[[30, 40]])
    tracker.add_prompt(0, 1, points=[[30, 40]])
    frames[2] = frames[2].swapaxes(0, 1)
    with pytest.raises(ValueError, match="Frame 2 is 90 wide and 120 high, others are 120 and 90"):
        list(tracker.propagate())


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "sam2_engine.onnx_runner", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_replaces_nothing_unasked(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for t, frame in zip((2, 10, 1), drawn_frames(3)):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{t}.png")
    image, folder, masks = tmp_path / "frames" / "2.png", tmp_path / "frames", tmp_path / "masks"
    (tmp_path / "taken.png").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    click = ("--point", "30,40")
    for arguments, sentence in (
        ((image, *click, "-o", tmp_path / "taken.png"), "taken.png exists; choose another name, or replace"),
        ((image, *click, "-o", image, "--overwrite"), "is also the input"),
        ((image, *click, "-o", tmp_path / "mask.jpg"), "must end in .png"),
        ((image, *click, "-o", tmp_path / "no" / "mask.png"), "does not exist; make it first"),
        ((image, "--point", "30", "-o", tmp_path / "mask.png"), "--point 30 is not made of numbers"),
        ((image, "--point", "30,4,x", "-o", tmp_path / "mask.png"), "is not X,Y, nor X,Y,-"),
        ((image, "--box", "a,b", "-o", tmp_path / "mask.png"), "--box a,b is not made of numbers"),
        ((image, "--point", "300,40", "-o", tmp_path / "mask.png"), "(300, 40) lies outside the image"),
        ((folder, *click, "-o", folder, "--overwrite"), "is also the input"),
        ((folder, *click, "-o", tmp_path / "taken.png"), "exists and is not a folder"),
        ((folder, *click, "-o", tmp_path, "--overwrite"), "holds something else (frames)"),
        ((tmp_path / "none", *click, "-o", masks), "There is no image or folder"),
    ):
        done = command(exported, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert sentence in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert command(exported, image, *click, "-o", tmp_path / "taken.png", "--overwrite").returncode == 0
    with Image.open(tmp_path / "taken.png") as written:
        assert written.size == (120, 90)


def test_a_folder_of_masks_is_written_whole_or_not_at_all(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(drawn_frames(3), start=8):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{t}.png")
    (tmp_path / "frames" / "11.png").write_bytes(b"damaged")
    arguments = (exported, tmp_path / "frames", "--point", "30,40", "-o", tmp_path / "masks")
    done = command(*arguments)
    assert (done.returncode, "11.png" in done.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames"]
    (tmp_path / "frames" / "11.png").unlink()
    assert command(*arguments).returncode == 0
    assert "masks exists" in command(*arguments).stderr
    assert command(*arguments, "--overwrite").returncode == 0
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["10.png", "8.png", "9.png"]
    assert FrameFolder(tmp_path / "frames").mask_names == ["8.png", "9.png", "10.png"]
    Image.fromarray(drawn_frames(1)[0]).save(tmp_path / "frames" / "8.jpg")
    with pytest.raises(ValueError, match="are named alike: keep one"):
        FrameFolder(tmp_path / "frames")
