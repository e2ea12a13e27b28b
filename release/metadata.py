"""Metadata that is computed when the package is built: addresses, and the README as a page that stands alone.

hatch loads this file (``[tool.hatch.metadata.hooks.custom]``). The project's address has one place,
``repository-code`` in ``CITATION.cff``; as long as there is none, nothing points to it.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["ReadmeAndAddresses", "addresses", "standalone_page"]

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?://|mailto:|#)(?P<path>[^)\s]+)\)")
_IMAGE_LINE = re.compile(r"^!\[[^\]]*\]\((?!https?://)[^)\s]+\)\n\n?", re.MULTILINE)


class ReadmeAndAddresses(MetadataHookInterface):
    """The two dynamic fields of ``pyproject.toml``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in ``urls`` and ``readme``."""
        root = Path(self.root)
        citation = (root / "CITATION.cff").read_text(encoding="utf-8")
        readme = (root / "README.md").read_text(encoding="utf-8")
        repository = _field(citation, "repository-code")
        metadata["urls"] = addresses(citation)
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": standalone_page(readme, repository, metadata["version"]),
        }


def addresses(citation: str) -> dict[str, str]:
    """Return the project's addresses, of which only those that ``CITATION.cff`` knows."""
    repository = _field(citation, "repository-code")
    urls = {"Paper": _field(citation, "url")}
    if repository:
        urls |= {
            "Homepage": repository,
            "Source": repository,
            "Issues": f"{repository}/issues",
            "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        }
    return {name: url for name, url in urls.items() if url}


def standalone_page(page: str, repository: str, version: str) -> str:
    """Return a Markdown page whose links lead somewhere wherever it is shown.

    Relative links become those of a version in the repository; without a repository, their text alone,
    and pictures are left out.
    """
    if not repository:
        return _LINK.sub(lambda link: link["text"], _IMAGE_LINE.sub("", page))

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({repository}/{kind}/v{version}/{link['path']})"

    return _LINK.sub(absolute, page)


def _field(citation: str, name: str) -> str:
    found = re.search(rf"^\s*{name}: *\"?([^\"\n]+)\"?$", citation, re.MULTILINE)
    return found[1].strip() if found else ""
