"""Helm's templates rendered without Helm, as far as our chart uses them; anything else is refused.

A stand-in for ``helm template``: it knows ``if not``, ``with``, ``range`` over a mapping, values by their
paths, and the functions ``default``, ``quote``, ``toYaml`` and ``nindent``.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_ACTION = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_BLOCK = re.compile(r"(if not|with|range \$name, \$value :=) (\S+)")

Scope = Mapping[str, Any]
"""What names stand for: ``.`` and ``$name``."""
Token = tuple[str, str]
"""``"text"`` or ``"action"``, and what it says."""


def render(chart: Path, values: Mapping[str, Any], release: str = "sam2") -> list[dict[str, Any]]:
    """Return the manifests of a chart with some values in place of its own."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    merged = _merged(yaml.safe_load((chart / "values.yaml").read_text()), values)
    known = {
        "Values": merged,
        "Release": {"Name": release, "Namespace": "default"},
        "Chart": {"AppVersion": about["appVersion"], "Name": about["name"]},
    }
    written = [render_text(path.read_text(), known) for path in sorted((chart / "templates").glob("*.yaml"))]
    return [found for text in written if (found := yaml.safe_load(text)) is not None]


def render_text(text: str, known: Mapping[str, Any]) -> str:
    """Return what a template becomes."""
    tokens = _tokens(text)
    return "".join(_rendered(tokens, {".": known, "$": known}))


def _merged(own: Any, given: Any) -> Any:
    if not isinstance(own, dict) or not isinstance(given, Mapping):
        return given
    return {key: _merged(own.get(key), given[key]) if key in given else own[key] for key in {**own, **given}}


def _tokens(text: str) -> Iterator[Token]:
    end, trims = 0, False
    for match in _ACTION.finditer(text):
        before = text[end : match.start()]
        before = before.lstrip() if trims else before
        yield "text", before.rstrip() if match.group(1) else before
        yield "action", match.group(2)
        end, trims = match.end(), bool(match.group(3))
    yield "text", text[end:].lstrip() if trims else text[end:]


def _rendered(tokens: Iterator[Token], scope: Scope) -> Iterator[str]:
    """Yield the text up to the end of a block."""
    for kind, said in tokens:
        if kind == "text":
            yield said
        elif said == "end":
            return
        elif block := _BLOCK.fullmatch(said):
            inner = list(_until_end(tokens))
            for inside in _scopes(block.group(1), _value(block.group(2), scope), scope):
                yield from _rendered(iter(inner), inside)
        else:
            yield str(_pipeline(said, scope))


def _until_end(tokens: Iterator[Token]) -> Iterator[Token]:
    depth = 1
    for token in tokens:
        if token[0] == "action":
            depth += 1 if _BLOCK.fullmatch(token[1]) else -1 if token[1] == "end" else 0
        if not depth:
            return
        yield token
    raise ValueError("a block of the template has no end")


def _scopes(kind: str, value: Any, scope: Scope) -> Iterator[Scope]:
    """Yield the scope of each time that a block is written."""
    if kind == "if not" and not value:
        yield scope
    elif kind == "with" and value:
        yield {**scope, ".": value}
    elif kind.startswith("range"):
        for name, one in sorted(value.items()):
            yield {**scope, "$name": name, "$value": one}


def _pipeline(said: str, scope: Scope) -> Any:
    first, *rest = (part.split() for part in said.split("|"))
    value: Any = yaml.safe_dump(_value(first[1], scope)) if first[0] == "toYaml" else _value(first[0], scope)
    for name, *arguments in rest:
        if name == "default":
            value = value or _value(arguments[0], scope)
        elif name == "quote":
            value = '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        elif name == "nindent":
            margin = "\n" + " " * int(arguments[0])
            value = margin + margin.join(str(value).strip().splitlines())
        else:
            raise ValueError(f"the template's function {name} is not known here")
    return value


def _value(path: str, scope: Scope) -> Any:
    if path in scope:
        return scope[path]
    if not re.fullmatch(r"(\.\w+)+", path):
        raise ValueError(f"{path} of the template is not known here")
    value: Any = scope["."]
    for step in path[1:].split("."):
        value = value[step]
    return value
