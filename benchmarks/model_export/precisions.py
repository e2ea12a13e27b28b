"""J of an exported nano in float32, float16 and int8, beside the session in PyTorch, on annotated videos.

    python benchmarks/model_export/precisions.py DATA [--frames 12] [--objects 8]

DATA holds the folders ``usiigaci_T98G`` (cells) and ``pumavos_chair``. Each object is boxed on the first
frame, and tracked by the runner without PyTorch; J is the mean IoU with the annotation on the frames after.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import scenes

from sam2_engine import VideoSession, load_model
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.model_export.precision import PRECISIONS
from sam2_engine.model_export.writing import export_model
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.onnx_runner import ExportedModel, VideoTracker

VIDEOS = {"usiigaci_T98G": ("img", "id_masks"), "pumavos_chair": ("JPEGImages", "Annotations")}
Boxes = dict[int, list[int]]


def read(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    """Return the first images of a folder."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg", ".tif"))[:count]
    return [np.asarray(Image.open(path)) for path in files]


def boxes_of(labels: NDArray[np.uint8], most: int) -> Boxes:
    """Return the boxes of the largest objects."""
    ids, sizes = np.unique(labels[labels > 0], return_counts=True)
    chosen = ids[np.argsort(-sizes)][:most]
    places = {int(i): np.nonzero(labels == i) for i in chosen}
    return {i: [int(x.min()), int(y.min()), int(x.max()), int(y.max())] for i, (y, x) in places.items()}


def by_session(
    model: Sam2, frames: NDArray[np.uint8], boxes: Boxes
) -> Iterator[dict[int, NDArray[np.bool_]]]:
    """Track by PyTorch, with the plain rules of SAM 2."""
    session = VideoSession(model, frames, remove_small_components=False)
    for object_id, box in boxes.items():
        session.add_box(0, object_id, box)
    for result in session.propagate():
        yield dict(zip(result.object_ids, result.masks, strict=True))


def by_runner(
    folder: Path, frames: NDArray[np.uint8], boxes: Boxes
) -> Iterator[dict[int, NDArray[np.bool_]]]:
    """Track by ONNX Runtime."""
    tracker = VideoTracker(ExportedModel(folder, threads=torch.get_num_threads()), frames)
    for object_id, box in boxes.items():
        tracker.add_prompt(0, object_id, box=box)
    for frame, logits in tracker.propagate():
        yield tracker.masks(frame, logits)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--objects", type=int, default=8)
    arguments = parser.parse_args()
    print(f"{scenes.provenance()}; {torch.get_num_threads()} threads.\n")
    print("| video | computed by | J | J with PyTorch, float32 as the truth | CPU, ms a frame and object |")
    print("|---|---|---|---|---|")
    model = load_model("nano", device="cpu", dtype="float32")
    model.config = replace(model.config, wide_view=1.0)  # which the runner has not
    rounded = load_model("nano", device="cpu", dtype="bfloat16")
    rounded.config = model.config
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for precision in PRECISIONS:
            card = export_model(model, folder / precision, precision=precision)
            print(
                f"<!-- {precision}: {sum(part['bytes'] for part in card['parts'].values()) / 1e6:.1f} MB -->"
            )
        for video, (images, labels) in VIDEOS.items():
            frames = np.stack(read(arguments.data / video / images, arguments.frames))
            truth = read(arguments.data / video / labels, arguments.frames)
            boxes = boxes_of(truth[0], arguments.objects)
            runs = {
                "PyTorch, float32": by_session(model, frames, boxes),
                "PyTorch, bfloat16": by_session(rounded, frames, boxes),
                **{f"ONNX Runtime, {one}": by_runner(folder / one, frames, boxes) for one in PRECISIONS},
            }
            first: list[dict[int, NDArray[np.bool_]]] = []
            for way, run in runs.items():
                begun = time.process_time()
                masks = list(run)
                used = time.process_time() - begun
                first = first or masks
                scores = [
                    (mask_iou(found[i], labels == i), mask_iou(found[i], before[i]))
                    for found, before, labels in zip(masks[1:], first[1:], truth[1:], strict=True)
                    for i in boxes
                    if (labels == i).any()
                ]
                j, same = np.mean(scores, axis=0)
                each = 1000 * used / len(frames) / len(boxes)
                print(f"| {video} | {way} | {j:.3f} | {same:.4f} | {each:.0f} |", flush=True)


if __name__ == "__main__":
    main()
