"""Later clicks on an image of 8000 x 6000 pixels: what each costs of the processor, by the object's size.

    python benchmarks/labelstudio/large_clicks.py [--model NAME] [--clicks N]

The image is encoded by the first click and stays, as in ``sam2 serve``; what is measured is all that a later
click computes, up to the regions of the answer. Prints its table.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

import labelstudio_soak as soak
import scenes

from labelstudio_backend.schema.image_prompts import LabeledPrompt
from labelstudio_backend.schema.labeling_config import LabelingConfig, Target
from labelstudio_backend.schema.project_parameters import ProjectParameters
from labelstudio_backend.tasks.image_tasks import segment
from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

SCALE = 10
SHAPE = 600, 800
DISCS = {160: (200, 450, 8), 400: (100, 100, 20), 1200: (650, 450, 60), 2400: (400, 300, 120)}
"""By diameter in pixels of the image: center (x, y) and radius before enlarging."""


def draw() -> NDArray[np.uint8]:
    """Return an image with discs that nobody can write to, as decoded ones are."""
    random = np.random.default_rng(0)
    small = np.full((*SHAPE, 3), 60, np.uint8) + random.integers(0, 20, (*SHAPE, 3)).astype(np.uint8)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for number, (column, row, radius) in enumerate(DISCS.values()):
        small[np.hypot(x - column, y - row) < radius] = (200, 100 + 20 * number, 60)
    image = np.ascontiguousarray(small.repeat(SCALE, 0).repeat(SCALE, 1))
    image.setflags(write=False)
    return image


def target(form: str) -> Target:
    return LabelingConfig.parse(soak.IMAGES.replace("BrushLabels", f"{form}Labels")).targets()[0]


def seconds(session: AnnotationSession, x: float, y: float, form: Target) -> float:
    """Return the processor time of one click, in an image without objects."""
    for object_id in list(session.objects):
        session.remove_object(object_id)
    begin = time.process_time()
    prompt = LabeledPrompt.of(("Disc",), None, [(x, y)])
    segment(session, [prompt], form, ProjectParameters.parse(None, {}))
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clicks", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)  # threads that wait for one another take time of the processor, too
    store = ModelStore("cpu")
    store.load(given.model)
    session = AnnotationSession(
        draw(),
        store,
        given.model,
        axes="YXS",
        history=None,
        cache=FeatureCache(512 << 20),
        undo_bytes=0,
    )
    forms = ("Brush", "Polygon", "Bitmask")
    rows = []
    for diameter, (column, row, _) in DISCS.items():
        cells = []
        for form in forms:
            _, *later = (
                seconds(session, SCALE * (column + step), SCALE * row, target(form))
                for step in range(given.clicks + 1)
            )
            cells.append(f"{median(later):.3f}")
        rows.append(f"| {diameter} pixels | {' | '.join(cells)} |")
    print(f"{given.model}; {scenes.provenance()}\n")
    print(
        f"| disc of | {' | '.join(form.lower() for form in forms)} |", "|---|---:|---:|---:|", *rows, sep="\n"
    )


if __name__ == "__main__":
    main()
