"""The data engine, round by round: masklets, a simulated verifier, training, better masklets.

    OMP_NUM_THREADS=1 python benchmarks/masklets/loop.py --train FOLDER --work FOLDER [--rounds 2]

The train folder holds ``usiigaci_stills/images`` and ``labels``, which may be trained on. Every round finds
the masklets of the training videos by the model of the round before, a simulated person verifies them by the
ground truth, and the next model is trained on what is verified. Each model is judged by the masklets that it
finds, alone, in other videos. Prints a table.
"""

import argparse
import contextlib
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch

from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.evaluation.simulated_user import error_click
from sam2_engine.frames import open_frames
from sam2_engine.masks import decode_rle
from sam2_engine.synthetic.scenes import random_scene
from sam2_plugins.cli.app import main as sam2
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.masklets.report import report_on
from sam2_plugins.runtime.model_store import ModelStore

FRAMES, SIDE = 5, 256
IMAGE_SIZE = 256
MODEL = f"nano@{IMAGE_SIZE}"
GOOD, MENDABLE, CORRECTIONS = 0.75, 0.4, 2
"""IoU from which a masklet is accepted, and from which it is corrected; most corrected frames."""
LOCATE, CLICK, EXAMINE, PAINT = 1.0, 1.5, 0.1, 30.0
"""Seconds of the paper's model of an annotator: finding the object, a click, a frame to look at; to paint."""
SEARCH = ["--points-per-side", "8", "--crop-layers", "0", "--key-frames", "1"]

HEAD = "| set | round | masklets | recall | precision | mean best IoU "
HEAD += "| verdicts | accepted | s each | IoU as found |"

Truth = np.ndarray
"""(T, H, W) labels."""
Truths = tuple[dict[str, Truth], dict[str, Truth]]
"""By video, of the training and of the test videos."""


# ---------------------------------------------------------------------- videos


def real_videos(folder: Path, count: int, first: int) -> Iterator[tuple[str, np.ndarray, Truth]]:
    """Cells of stills under a camera that moves by some pixels from frame to frame."""
    rng = np.random.default_rng(first)
    paths = sorted((folder / "usiigaci_stills" / "images").iterdir())
    for number, path in enumerate(paths[first : first + count], first):
        with (
            open_frames(path, single=True) as image,
            open_frames(
                folder / "usiigaci_stills" / "labels" / path.name, single=True, labels=True
            ) as labels,
        ):
            pixels, truth = np.asarray(image[0]), np.asarray(labels[0])
        y, x = rng.integers(0, np.array(truth.shape[:2]) - SIDE - 4 * FRAMES)
        steps = [(y + 3 * t, x + 2 * t) for t in range(FRAMES)]
        cut = [(slice(a, a + SIDE), slice(b, b + SIDE)) for a, b in steps]
        yield f"cells{number:02}", np.stack([pixels[c] for c in cut]), np.stack([truth[c] for c in cut])


def synthetic_videos(style: str, count: int, first: int) -> Iterator[tuple[str, np.ndarray, Truth]]:
    for number in range(first, first + count):
        clip = random_scene([2**31 + 403, number], FRAMES, SIDE, style)
        frames = (np.clip(clip.frames, 0, 1) * 255).round().astype(np.uint8)
        yield f"{style}{number:02}", frames, clip.labels


def write(videos: Iterator[tuple[str, np.ndarray, Truth]], folder: Path) -> dict[str, Truth]:
    folder.mkdir(parents=True)
    truths = {}
    for name, frames, truth in videos:
        rgb = frames.ndim == 4
        tifffile.imwrite(
            folder / f"{name}.tif",
            frames,
            photometric="rgb" if rgb else "minisblack",
            metadata={"axes": "TYXS" if rgb else "TYX"},
        )
        truths[name] = truth
    return truths


# ---------------------------------------------------------------------- a person who knows the truth


def overlap(masks: np.ndarray, truth: Truth) -> tuple[int, float]:
    """Return the true object that a masklet (T, H, W) shares most with, and their IoU over all frames."""
    values = np.unique(truth[masks & (truth > 0)])
    if not len(values):
        return 0, 0.0
    best = max(
        values, key=lambda v: np.count_nonzero(masks & (truth == v)) / np.count_nonzero(masks | (truth == v))
    )
    return int(best), mask_iou(masks, truth == best)


def verify(dataset: MaskletDataset, truths: dict[str, Truth], store: ModelStore) -> None:
    """Accept what is good, correct what can be mended, reject the rest; an object once.

    A frame is corrected by a click, and painted where that does not do.
    """
    taken: dict[str, set[int]] = {}
    for name in dataset.videos():
        verified = dataset.verified(name)
        for column in range(0 if verified is None else verified["masklet_num"]):
            masks = np.stack([decode_rle(row[column]) for row in verified["masklet"]])
            taken.setdefault(name, set()).add(overlap(masks, truths[name])[0])
    with VerificationQueue(dataset, store, "simulated") as queue:
        while shown := queue.next():
            truth = truths[shown.video]
            seconds = LOCATE + EXAMINE * len(truth)
            one, iou = overlap(shown_masks(queue, truth), truth)
            if iou < MENDABLE or one in taken.get(shown.video, set()):
                queue.reject(seconds)
                continue
            for _ in range(CORRECTIONS):
                if mask_iou(shown_masks(queue, truth), truth == one) >= GOOD:
                    break
                frame = queue.next_frame()
                click = frame is not None and error_click(mask_of(queue, frame, truth), truth[frame] == one)
                if not click:
                    break
                queue.correct(frame, points=[click[0]], labels=[click[1]])
                if mask_iou(mask_of(queue, frame, truth), truth[frame] == one) < GOOD:
                    queue.correct(frame, mask=truth[frame] == one)
                    seconds += PAINT
                for _ in queue.track():
                    pass
                seconds += LOCATE + CLICK + EXAMINE * len(truth)
            if mask_iou(shown_masks(queue, truth), truth == one) >= GOOD:
                taken.setdefault(shown.video, set()).add(one)
                queue.accept(seconds)
            else:
                queue.reject(seconds)


def mask_of(queue: VerificationQueue, frame: int, truth: Truth) -> np.ndarray:
    mask = queue.mask(frame)
    return np.zeros(truth.shape[1:], bool) if mask is None else mask


def shown_masks(queue: VerificationQueue, truth: Truth) -> np.ndarray:
    return np.stack([mask_of(queue, frame, truth) for frame in range(len(truth))])


# ---------------------------------------------------------------------- how good masklets are


def judge(dataset: MaskletDataset, truths: dict[str, Truth]) -> tuple[float, float, float, int]:
    """Return recall and precision at an IoU of 0.5, mean best IoU of true objects, number of masklets."""
    best, right, many = [], 0, 0
    for name, truth in truths.items():
        found = dataset.found(name)
        masks = [
            np.stack([decode_rle(row[column]) for row in found["masklet"]])
            for column in range(found["masklet_num"])
        ]
        matched = [overlap(each, truth) for each in masks]
        many += len(masks)
        right += sum(iou >= 0.5 for _, iou in matched)
        for value in np.unique(truth[truth > 0]):
            if np.count_nonzero(truth == value) >= 20 * FRAMES:
                best += [max((iou for one, iou in matched if one == value), default=0.0)]
    return float(np.mean(np.array(best) >= 0.5)), right / max(many, 1), float(np.mean(best)), many


def run(name: str, truths: Truths, work: Path, rounds: int, steps: int) -> None:
    train, test = truths
    model = MODEL
    for number in range(rounds + 1):
        judged = work / f"judged{number}"
        command(["masklets", work / "test", "-o", judged, "--model", model, *SEARCH])
        recall, precision, iou, many = judge(MaskletDataset.open(judged), test)
        line = f"| {name} | {number} | {many} | {recall:.3f} | {precision:.3f} | {iou:.3f} |"
        if number < rounds:
            command(["masklets", work / "train", "-o", work / "data", "--again", "--model", model, *SEARCH])
            dataset = MaskletDataset.open(work / "data")
            verify(dataset, train, ModelStore("cpu"))
            found = report_on(dataset)
            everything = found.phases[-1]
            many = max(everything.masklets, 1)
            line += f" {everything.masklets} | {everything.accepted / many:.2f} | "
            line += f"{everything.seconds / many:.1f} | {found.quality.iou:.3f} |"
            new = work / f"round{number + 1}.safetensors"
            options = ["--steps", steps, "--run", work / f"run{number}", "-o", new]
            options += ["--image-size", IMAGE_SIZE]
            command(["train", "--from", model.partition("@")[0], "--data", work / "data", *options])
            model = str(new)
        else:
            line += " | | | |"
        print(line, flush=True)


def command(arguments: list[object]) -> None:
    began, said = time.process_time(), io.StringIO()
    with contextlib.redirect_stdout(said):
        status = sam2([str(one) for one in arguments])
    if status:
        raise SystemExit(said.getvalue())
    seconds = time.process_time() - began
    print(f"<!-- {arguments[0]}: {seconds:.0f} s of processor time\n{said.getvalue()}-->", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--videos", type=int, nargs=2, default=(10, 6), help="to train on, and to judge by")
    parser.add_argument("--style", default="phase_contrast")
    parser.add_argument("--only", choices=("real", "synthetic"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    halves = (options.videos[0], 0), (options.videos[1], 30)
    print(HEAD)
    print("|---|" + "---|" * 9)
    for name in (options.only,) if options.only else ("real", "synthetic"):
        work = options.work / name
        shutil.rmtree(work, ignore_errors=True)
        if name == "real":
            parts = [real_videos(options.train, *one) for one in halves]
        else:
            parts = [synthetic_videos(options.style, *one) for one in halves]
        truths = write(parts[0], work / "train"), write(parts[1], work / "test")
        run(name, truths, work, options.rounds, options.steps)


if __name__ == "__main__":
    main()
