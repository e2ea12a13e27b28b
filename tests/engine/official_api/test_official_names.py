"""Every name of the official package is the same here, or the page says what it is instead."""

import importlib
import json
import re
from typing import Any

import official_cases as cases
import official_names
import official_page
import pytest

import sam2_engine.official_api as ours
from sam2_engine.errors import InputError
from sam2_engine.official_api.missing import MISSING

RECORDED = json.loads((official_page.REFERENCES / "names.json").read_text())
PACKAGE = "sam2_engine.official_api"
MEMBERS = [
    (module, kind, name, arguments)
    for module, members in RECORDED["names"].items()
    for kind, methods in members.items()
    if isinstance(methods, dict)
    for name, arguments in methods.items()
]
FUNCTIONS = [
    (module, name, arguments)
    for module, members in RECORDED["names"].items()
    for name, arguments in members.items()
    if isinstance(arguments, list)
]


def named(module: str, name: str) -> Any:
    return getattr(__import__(f"{PACKAGE}.{module}", fromlist=[name]), name)


def as_recorded(arguments: Any) -> Any:
    return json.loads(json.dumps(arguments))


@pytest.mark.parametrize(("module", "name", "arguments"), FUNCTIONS, ids=lambda one: str(one)[:40])
def test_functions_have_the_official_arguments(module: str, name: str, arguments: Any) -> None:
    assert as_recorded(official_names.signature_of(named(module, name))) == arguments


@pytest.mark.parametrize(("module", "kind", "name", "arguments"), MEMBERS, ids=lambda one: str(one)[:40])
def test_members_have_the_official_arguments(module: str, kind: str, name: str, arguments: Any) -> None:
    owner, title = named(module, kind), f"{kind}.{name}"
    said = official_page.SAID.get(title, "same")
    if not official_page.is_public(name) and name not in official_page.PRIVATE.get(kind, ()):
        assert name not in vars(owner), "internal to the official package, and another thing here"
    elif said.startswith("refused: internal"):
        assert not hasattr(owner, name)
    elif title == "SAM2VideoPredictor.__init__":
        assert as_recorded(official_names.member_of(owner, name))[1:] == arguments
    elif title not in ("SAM2Base.__init__", "SAM2VideoPredictorVOS.__init__"):
        assert as_recorded(official_names.member_of(owner, name)) == arguments


def test_objects_have_the_official_attributes() -> None:
    for kind, one in official_names.objects_of(ours).items():
        for name, expected in RECORDED["attributes"][kind].items():
            assert official_names.outline(getattr(one, name)) == expected, (kind, name)


def test_a_state_has_the_official_entries(tmp_path: Any) -> None:
    predictor = cases.video_predictor(ours)
    states = official_names.states(predictor, str(cases.write_frames(tmp_path)))
    assert as_recorded(states) == RECORDED["state"]
    for stage, entries in states.items():
        assert list(entries) == list(RECORDED["state"][stage])


def test_what_is_missing_says_what_to_use() -> None:
    model = ours.build_sam2("nano", device="cpu")
    with pytest.raises(AttributeError, match="SAM2VideoPredictor"):
        model.track_step()
    with pytest.raises(NotImplementedError, match="SAM2ImagePredictor"):
        model()
    with pytest.raises(InputError, match=r"cannot be 2\.0 here"):
        model.sigmoid_scale_for_mem_enc = 2.0


@pytest.mark.parametrize(("module", "names"), RECORDED["defined"].items(), ids=lambda one: str(one)[:40])
def test_a_name_that_is_defined_is_here_or_says_what_to_use(module: str, names: list[str]) -> None:
    ours = importlib.import_module(f"{PACKAGE}.{module}")
    missing = MISSING.get(module, {})
    assert set(missing) <= set(names)
    for name in names:
        if name in missing:
            with pytest.raises(ImportError, match="internal to the official package"):
                exec(f"from {PACKAGE}.{module} import {name}")
        else:
            assert name in RECORDED["names"][module]
            assert hasattr(ours, name)
    with pytest.raises(ImportError, match="cannot import name"):
        exec(f"from {PACKAGE}.{module} import of_no_package")


def test_what_is_to_be_used_instead_exists() -> None:
    for said in (said for names in MISSING.values() for said in names.values()):
        for path in re.findall(r"sam2_engine\.[\w.]+\.\w+", said):
            module, _, name = path.rpartition(".")
            assert hasattr(importlib.import_module(module), name), path


def test_the_page_is_what_is_recorded_and_said() -> None:
    """``python tests/engine/official_api/official_page.py`` writes it."""
    assert official_page.PAGE.read_text(encoding="utf-8") == official_page.render()


def test_all_that_is_said_is_said_of_an_official_name() -> None:
    titles = {f"{kind}.{name}": arguments for _, kind, name, arguments in MEMBERS}
    titles |= {name: arguments for _, name, arguments in FUNCTIONS}
    attributes = {f"{kind}.{name}" for kind, own in RECORDED["attributes"].items() for name in own}
    for key in official_page.SAID:
        title, _, argument = key.rstrip(")").partition("(")
        assert title in titles or title in attributes, key
        assert not argument or argument in [one[0] for one in titles[title]], key
