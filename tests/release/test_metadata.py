"""What an index, a feedstock and the napari hub read of the package is true, and leads somewhere."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rattler_build
import yaml
from readme_renderer.markdown import render

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPE = ROOT / "release/recipe/recipe.yaml"
ADDRESS = "https://example.org/us/sam2-plugins"


@pytest.fixture(scope="module")
def metadata() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metadata", ROOT / "release/metadata.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("repository", ["", ADDRESS])
def test_links_of_the_description_lead_somewhere_wherever_it_is_shown(
    metadata: ModuleType, repository: str
) -> None:
    page = metadata.standalone_page(README, repository, "1.2.3")
    shown = render(page, variant="GFM")
    targets = set(re.findall(r'(?:href|src)="([^"]+)"', shown))
    assert {target for target in targets if not target.startswith(("https://", "#"))} == set()
    assert shown.count("<h2") == len(re.findall(r"^## ", README, re.MULTILINE))
    assert ("<img" in shown) == bool(repository), "without an address there is nothing to show pictures from"
    assert ("v1.2.3/docs/napari.md" in page) == bool(repository)


def test_the_project_has_one_address_and_everything_else_follows(metadata: ModuleType) -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert metadata.addresses(citation)["Paper"].startswith("https://arxiv.org/")
    addresses = metadata.addresses(f'{citation}\nrepository-code: "{ADDRESS}"\n')
    assert {"Homepage", "Source", "Issues", "Changelog"} <= set(addresses)
    assert addresses["Source"] == ADDRESS


def test_the_recipe_is_one() -> None:
    (variant,) = rattler_build.Stage0Recipe.from_file(RECIPE).render()
    built: Any = variant.recipe.to_dict()
    assert (built["package"]["name"], built["build"]["noarch"]) == ("sam2-plugins", "python")


def test_the_napari_hub_is_told_what_the_index_is_told() -> None:
    hub = yaml.safe_load((ROOT / ".napari-hub/config.yml").read_text(encoding="utf-8"))
    page = (ROOT / ".napari-hub/DESCRIPTION.md").read_text(encoding="utf-8")
    manifest = yaml.safe_load((ROOT / "napari_plugin/napari.yaml").read_text(encoding="utf-8"))
    assert hub["summary"] == PROJECT["description"]
    assert "Framework :: napari" in PROJECT["classifiers"]
    assert {"Annotation", "Segmentation"} <= set(manifest["categories"])
    assert not re.search(r"\]\((?!https://)", page), "relative links lead nowhere there"
    (napari,) = re.findall(
        r"napari\[[^\]]+\]>=([\d.]+)", " ".join(PROJECT["optional-dependencies"]["napari"])
    )
    assert f"napari {napari} or newer" in page
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer" in page
