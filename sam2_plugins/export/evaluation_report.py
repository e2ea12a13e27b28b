"""Report of an evaluation: a table of scores and the worst masks, as ``index.html`` with PNG files."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.disk import replacing
from sam2_engine.evaluation import LabeledSequence, MaskScore, MethodResult
from sam2_engine.evaluation.labeled_sequence import unpacked
from sam2_engine.preprocessing import estimate_window
from sam2_plugins.export.overlays import overlay, write_png
from sam2_plugins.runtime.atomic_files import check_output_folder

__all__ = ["check_report_folder", "columns", "worst_cases", "write_report"]

MAX_CASES = 40
_LONGEST_SIDE = 640
_MARGIN = 24
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 2em; max-width: 90em }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} tr {{ border-bottom: 1px solid #ccc }}
figure {{ display: inline-block; margin: 0 1.5em 1.5em 0; vertical-align: top }} img {{ max-width: 100% }}
</style>
<h1>{title}</h1>
<p>{explanation}</p>
<table>{table}</table>
<h2>Worst cases first</h2>
<p>Left the ground truth, right what was found; of each object its worst frame.</p>
{figures}
</html>
"""


def columns(result: MethodResult) -> dict[str, float]:
    """Return a result's numbers by the names that a table gives them."""
    if not result.per_object:
        return {"IoU": result.j, "F": result.f}
    return {"J&F": result.j_and_f, "J": result.j, "F": result.f, **result.cell_tracking}


def worst_cases(result: MethodResult, count: int = MAX_CASES) -> list[MaskScore]:
    """Return the worst mask of each object (of single images: every mask), the worst first."""
    ranked = sorted(result.rounds[-1], key=lambda score: score.j_and_f)
    if not result.per_object:
        return ranked[:count]
    worst: dict[tuple[int, int], MaskScore] = {}
    for score in ranked:
        worst.setdefault((score.sequence, score.object_id), score)
    return list(worst.values())[:count]


def check_report_folder(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse, before any work is done, a folder in which no report can be written.

    Raises
    ------
    InputError
        If it cannot be made, or holds an earlier report that may not be replaced, or something else.
    """
    check_output_folder(Path(folder), is_earlier=_is_report, overwrite=overwrite, with_parents=True)


def _is_report(folder: Path) -> bool:
    return all(path.name in ("index.html", "pictures") for path in folder.iterdir())


def write_report(
    folder: str | Path,
    title: str,
    explanation: str,
    results: Sequence[MethodResult],
    sequences: Sequence[LabeledSequence],
) -> Path:
    """Write the table of all results and the worst masks of the first one.

    Parameters
    ----------
    folder
        As checked by ``check_report_folder``.
    title, explanation
        Heading, and a sentence below it.
    results
        The model's first.
    sequences
        What was evaluated.

    Returns
    -------
    Path
        ``index.html``; it is written last.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    folder = Path(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    figures = []
    for number, score in enumerate(worst_cases(results[0]), start=1):
        sequence = sequences[score.sequence]
        found = unpacked(
            results[0].masks[score.sequence], score.object_id, score.frame, sequence.frames.shape
        )
        name = f"pictures/{number:03d}.png"
        write_png(folder / name, comparison_figure(sequence, score, found))
        caption = f"{sequence.name}, object {score.object_id}, frame {score.frame}: "
        caption += f"J {score.j:.3f}, F {score.f:.3f}"
        figures.append(
            f'<figure><img src="{name}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'
        )
    page = _PAGE.format(
        title=escape(title),
        explanation=escape(explanation),
        table=_table(results),
        figures="\n".join(figures),
    )
    with replacing(folder / "index.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return folder / "index.html"


def comparison_figure(
    sequence: LabeledSequence, score: MaskScore, found: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return ground truth and result of one object side by side, cropped with a margin: (H, W, 3)."""
    ground_truth = sequence.mask(score.object_id, score.frame)
    window = estimate_window(sequence.frames)
    crop = _crop_around(ground_truth | found)
    image = sequence.frames[score.frame][crop]
    step = -(-max(image.shape[:2]) // _LONGEST_SIDE)
    sides = [
        overlay(image, mask[crop].astype(int) * score.object_id, window)[::step, ::step]
        for mask in (ground_truth, found)
    ]
    gap = np.full((sides[0].shape[0], 4, 3), 255, np.uint8)
    return np.concatenate((sides[0], gap, sides[1]), axis=1)


def _crop_around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the part of the frame to show: the mask and as much again around it."""
    slices = []
    for axis, length in enumerate(mask.shape):
        inside = np.flatnonzero(mask.any(1 - axis))
        low, high = (inside[0], inside[-1] + 1) if len(inside) else (0, length)
        margin = max(_MARGIN, (high - low) // 2)
        slices.append(slice(max(0, low - margin), high + margin))
    return slices[0], slices[1]


def _table(results: Sequence[MethodResult]) -> str:
    rows = ["".join(f"<th>{escape(name)}</th>" for name in ("method", *columns(results[0])))]
    for result in results:
        cells: list[Any] = [escape(result.method), *(f"{value:.3f}" for value in columns(result).values())]
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    return "".join(f"<tr>{row}</tr>\n" for row in rows)
