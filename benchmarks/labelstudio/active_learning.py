"""Active learning in Label Studio: is less to be labelled if the most doubtful tasks are labelled first?

    python benchmarks/labelstudio/active_learning.py DATA [--rounds N] [--tasks N] [--steps N] [--seeds N]

DATA has ``images/NAME.png`` and instance labels in ``labels/NAME.png``. In each round the tasks that are not
labelled yet get predictions (Retrieve predictions); simulated annotators label some of them, without a
mistake, in the order of the predictions' scores or at random; then *Start training* is pressed. The server is
the one that ``sam2 serve`` runs, and what it serves then is measured on images that nobody labels: J of the
mask after one click into the middle of each object. Writes its section of
``benchmarks/results/labelstudio.md``.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import labelstudio_soak as soak
import scenes

from labelstudio_backend.schema.brush_rle import encode_brush_rle
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.masks import mask_center
from sam2_plugins.session.annotation_session import AnnotationSession

CONFIG = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Cell"/></BrushLabels></View>"""
PROJECT = "1.1"
EXPORT = "api/projects/1/export"
LARGEST, MOST_OBJECTS, CLICKED = 400, 60, 8
ORDERS = ("doubt", "random")


@dataclass(frozen=True)
class Labelled:
    """One image with its instance labels."""

    id: int
    name: str
    labels: NDArray[Any]

    @property
    def task(self) -> dict[str, Any]:
        return {"id": self.id, "project": 1, "data": {"image": f"/{self.name}"}}

    @property
    def masks(self) -> list[NDArray[np.bool_]]:
        return [self.labels == number for number in np.unique(self.labels) if number]

    def annotated(self) -> dict[str, Any]:
        """Return the task as Label Studio exports it, with a brush for each object."""
        regions = [
            {
                "id": f"{self.id}-{number}",
                "type": "brushlabels",
                "from_name": "brush",
                "to_name": "image",
                "value": {"format": "rle", "rle": encode_brush_rle(mask), "brushlabels": ["Cell"]},
            }
            for number, mask in enumerate(self.masks)
        ]
        annotation = {"result": regions, "was_cancelled": False, "updated_at": "2026"}
        return {**self.task, "annotations": [annotation]}


@dataclass
class Point:
    """What was labelled, and what the served model reaches then."""

    images: int
    objects: int
    score: float


def read(folder: Path, media: Path, count: int, seed: int) -> list[Labelled]:
    """Read some small images, drawn by chance, and put them where the server fetches them."""
    found: list[Labelled] = []
    paths = sorted((folder / "labels").glob("*.png"))
    random.Random(seed).shuffle(paths)
    for path in paths:
        labels = np.asarray(Image.open(path))
        if max(labels.shape) <= LARGEST and 0 < len(np.unique(labels)) - 1 <= MOST_OBJECTS:
            image = Image.open(folder / "images" / path.name).convert("RGB")
            image.save(media / path.name)
            found.append(Labelled(len(found) + 1, path.name, labels))
        if len(found) == count:
            return found
    raise SystemExit(f"{folder} has {len(found)} images of up to {LARGEST} pixels, but {count} are needed.")


def one_click(predictor: Predictor, model: str, media: Path, images: list[Labelled]) -> float:
    """Return the mean J after one click into the middle of each of the first objects of every image."""
    found: list[float] = []
    for one in images:
        pixels = np.asarray(Image.open(media / one.name))
        session = AnnotationSession(pixels, predictor.store, model, axes="YXS", history=None, undo_bytes=0)
        for mask in one.masks[:CLICKED]:
            object_id = session.add_object()
            session.add_points(0, object_id, [mask_center(mask)[0]])
            answer = session.mask(object_id, 0)
            assert answer is not None
            found.append(float((answer & mask).sum() / (answer | mask).sum()))
    return mean(found)


def ordered(predictor: Predictor, left: list[Labelled], order: str, chance: random.Random) -> list[Labelled]:
    """Return tasks in the order in which they are labelled: the lowest score first, or at random."""
    if order == "random":
        return chance.sample(left, len(left))
    predictions = predictor.predict([one.task for one in left], CONFIG, None, PROJECT)
    scores = [one["score"] if isinstance(one, dict) else 1.0 for one in predictions]
    return [one for _, one in sorted(zip(scores, left), key=lambda pair: pair[0])]


@dataclass(frozen=True)
class Draw:
    """Images of one draw: those that may be labelled, those that are measured on, and where they lie."""

    seed: int
    pool: list[Labelled]
    held: list[Labelled]
    media: Path


def loop(settings: Settings, draw: Draw, order: str, rounds: int, tasks: int) -> Iterator[Point]:
    """Label, train and measure, round after round."""
    predictor, chance = Predictor(settings), random.Random(draw.seed)
    predictor.setup(CONFIG, PROJECT, {"points_per_side": 8})
    labelled: list[Labelled] = []

    def measured() -> Point:
        model = predictor.trainings.model_for(PROJECT, settings.model) or settings.model
        objects = sum(len(one.masks) for one in labelled)
        return Point(len(labelled), objects, one_click(predictor, model, draw.media, draw.held))

    yield measured()
    for _ in range(rounds):
        known = {one.id for one in labelled}
        left = [one for one in draw.pool if one.id not in known]
        labelled += ordered(predictor, left, order, chance)[:tasks]
        (draw.media / EXPORT).write_text(json.dumps([one.annotated() for one in labelled]))
        assert predictor.start_training(1)
        predictor.trainings.wait()
        yield measured()
    predictor.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=6, help="labelled in each round")
    parser.add_argument("--steps", type=int, default=60, help="of each training")
    parser.add_argument("--pool", type=int, default=48)
    parser.add_argument("--held", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--model", default="nano@256")
    parser.add_argument("--output", type=Path, default=soak.RESULTS)
    given = parser.parse_args()
    where = scenes.provenance()
    curves: dict[str, list[list[Point]]] = {order: [] for order in ORDERS}
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as name:
            media = Path(name) / "media"
            (media / EXPORT).parent.mkdir(parents=True)
            images = read(given.data, media, given.pool + given.held, seed)
            draw = Draw(seed, images[: given.pool], images[given.pool :], media)
            for order in ORDERS:
                with soak.file_server(media) as url:
                    settings = Settings(
                        given.model,
                        "cpu",
                        label_studio_url=url,
                        state_folder=Path(name) / order,
                        predict_seconds=3600,
                        trains=True,
                        training_steps=given.steps,
                    )
                    curve = []
                    for point in loop(settings, draw, order, given.rounds, given.tasks):
                        print(seed, order, point, flush=True)
                        curve.append(point)
                    curves[order].append(curve)
    write(given, where, curves)


def write(given: Any, where: str, curves: dict[str, list[list[Point]]]) -> None:
    """Write the section of the page of results."""
    rows = []
    for number in range(given.rounds + 1):
        cells = []
        for order in ORDERS:
            points = [curve[number] for curve in curves[order]]
            scores = ", ".join(f"{point.score:.3f}" for point in points)
            objects = ", ".join(str(point.objects) for point in points)
            cells.append(f"{mean(point.score for point in points):.3f} ({scores}) | {objects}")
        rows.append(f"| {number * given.tasks} | {' | '.join(cells)} |")
    lines = [
        f"{given.data.name}, {given.pool} tasks and {given.held} images held out; {given.steps} steps of "
        f"training after each {given.tasks} tasks; {given.model}; {given.seeds} draws; {where}",
        "",
        "J after one click per object on the images held out; in brackets each draw. Objects are what the "
        "annotators had to outline for it.",
        "",
        "| images labelled | J, most doubtful first | objects | J, random order | objects |",
        "|---:|---:|---:|---:|---:|",
        *rows,
    ]
    scenes.write_section(given.output, soak.TITLE, "Active learning", lines)


if __name__ == "__main__":
    main()
