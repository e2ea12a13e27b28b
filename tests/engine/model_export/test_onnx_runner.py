"""The runner without PyTorch beside the predictor and the session, and folders that it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sam2_engine.onnx_runner
from sam2_engine import ImagePredictor, VideoSession
from sam2_engine.modeling.sam2 import Sam2

pytest.importorskip("onnxruntime")

from sam2_engine.onnx_runner import ExportedModel, ImageSegmenter, ModelFolderError, VideoTracker

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
    done = run_alone(tmp_path, tmp_path, "frames/0.png", "--point", "30,40", "-o", "mask.png")
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
        ({"image_size": 1024}, "takes an input of 128 pixels, and card.json says 1024"),
    ],
)
def test_a_card_that_was_edited_is_refused(
    values: dict[str, object], sentence: str, exported: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(exported, tmp_path / "edited"))
    changed_card(other, **values)
    with pytest.raises(ModelFolderError, match=sentence):
        ExportedModel(other)


def test_planes_that_would_be_squashed_for_a_model_that_pads_are_refused(
    exported: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(exported, tmp_path / "pads"))
    changed_card(other, keeps_aspect_ratio=True)
    with pytest.raises(ValueError, match="give an image of 80 x 80, with zeros on the right or below"):
        ExportedModel(other).encode(np.zeros((60, 80), np.uint8))


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
