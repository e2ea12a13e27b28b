"""Registered models and their licenses in ``models.md``, from ``sam2_engine/weights/registry.toml``.

``python docs/reference/write_models.py`` writes the page; a test holds it to the registry.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from sam2_engine.weights.registry import REGISTRY, RegisteredModel

__all__ = ["PAGE", "written"]

PAGE = Path(__file__).parent / "models.md"
_TITLE = """# Models that have a name

What `sam2 models` lists. `sam2 download NAME` fetches one; `sam2 models show NAME` says what is written
here. A license that forbids commercial use, or that its authors do not state, is shown and asked for before
the download (`--accept-license` in scripts). Where no checksum is known, names and shapes of all weights
are checked. *By hand* means that the authors give the file where no program can fetch it: get it from the
page, and run `sam2 models add FILE --name NAME`. Models of one's own are added in the same way, under a
name of one's own.

None of the models that fields made was tried here on its real weights, which could not be had; that files
of their layout load strictly, as what they are and at the size of input that they were taught with, is
tested. This page is written by `python docs/reference/write_models.py`.
"""


def written() -> str:
    """Return the page."""
    lines = [_TITLE]
    for family, models in groupby(REGISTRY.values(), key=lambda model: model.family):
        lines += [f"## {family}", "", *_section([*models])]
    return "\n".join(lines)


def _section(models: list[RegisteredModel]) -> Iterator[str]:
    first = models[0]
    yield from (first.terms, "", f"Pixels: {first.pixels}.", "", f"Cite: {first.citation}.", "")
    if first.page is not None:
        yield from (f"[{first.page.removeprefix('https://')}]({first.page})", "")
    yield from ("| name | for | architecture | input | size | SHA-256 |", "|---|---|---|---|---|---|")
    for model in models:
        config = model.config
        checksum = "not known" if model.sha256 is None else f"`{model.sha256[:12]}…`"
        shipped = "in the package" if model.page is None else checksum
        size = f"about {model.megabytes} MB" + (", by hand" if model.page and model.path is None else "")
        yield (
            f"| `{model.name}` | {model.purpose} | {config.name} | {config.image_size} | {size} | {shipped} |"
        )
    yield ""


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
