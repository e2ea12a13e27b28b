"""Registry of models that have a name: shipped, official, relatives, and what fields taught on SAM 2.

All of it is in one data file, ``registry.toml``; a model is added there, by a table of its own.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sam2_engine.errors import OptionError
from sam2_engine.modeling.config import VARIANTS, ModelConfig

__all__ = ["REGISTRY", "RegisteredModel", "check_license", "registered"]


@dataclass(frozen=True)
class RegisteredModel:
    """A model that has a name.

    Attributes
    ----------
    name
        As ``load_model`` takes it.
    family
        Whose model it is.
    license
        Of its weights, as their authors state it.
    megabytes
        Size of its file, about.
    purpose
        What it is for.
    pixels
        What it expects: modality, intensity window, shape of planes.
    commercial
        Whether the license allows commercial use; None where its authors do not say.
    variant
        Its architecture: a name of ``modeling.config.VARIANTS``; by default its own name.
    image_size
        Side of its input in pixels, if it was taught with another than its variant's.
    intensities
        Which gray levels it was taught as black and white: a name of ``pixel_rules.RULES``.
    keeps_aspect_ratio
        Whether it was taught on planes that were padded to a square, not squashed.
    server, path
        Address of its file; None where it can only be fetched by hand, from its page.
    sha256
        Checksum of that file; None where none is known: names and shapes are checked in any case.
    repositories
        Where else it is at Hugging Face, whose client may have fetched it.
    page
        Where its authors describe it.
    citation
        What to cite.

    Examples
    --------
    >>> REGISTRY["medsam2_latest"].image_size, REGISTRY["medsam2_latest"].needs_consent
    (512, True)
    """

    name: str
    family: str
    license: str
    megabytes: int
    purpose: str
    pixels: str
    citation: str
    commercial: bool | None = None
    variant: str = ""
    image_size: int | None = None
    intensities: str = "usual"
    keeps_aspect_ratio: bool = False
    server: str | None = None
    path: str | None = None
    sha256: str | None = None
    repositories: tuple[str, ...] = ()
    page: str | None = None

    @property
    def needs_consent(self) -> bool:
        """Whether its license is asked for: it forbids commercial use, or nobody states one."""
        return self.commercial is not True

    @property
    def config(self) -> ModelConfig:
        """Its architecture, with its own input: size, gray levels and shape."""
        config = replace(
            VARIANTS[self.variant or self.name],
            intensities=self.intensities,
            keeps_aspect_ratio=self.keeps_aspect_ratio,
        )
        return config if self.image_size is None else config.with_image_size(self.image_size)

    @property
    def is_variant(self) -> bool:
        """Whether it is what its architecture was published with, so that its weights tell what it is."""
        return self.variant in ("", self.name)

    @property
    def file_name(self) -> str | None:
        """Name of the file at its address."""
        return None if self.path is None else PurePosixPath(self.path).name

    @property
    def terms(self) -> str:
        """Return a sentence on what its license allows."""
        if self.commercial is None:
            return f"License: {self.license}. Whether it allows commercial use is not known: ask its authors."
        allowed = "Commercial use is allowed." if self.commercial else "No commercial use."
        return f"License: {self.license}. {allowed}"


def check_license(model: RegisteredModel, accepted: bool) -> None:
    """Refuse a model whose license has to be accepted, unless that was done.

    Raises
    ------
    OptionError
        If it was not.
    """
    if model.needs_consent and not accepted:
        raise OptionError(
            f"{model.name} has a license to accept first. {model.terms} Read it at {model.page}, and if you "
            "accept it, say so with {accept_license}.",
            accept_license=True,
        )


def _read() -> dict[str, RegisteredModel]:
    tables = tomllib.loads(Path(__file__).with_name("registry.toml").read_text(encoding="utf-8"))
    return {
        name: RegisteredModel(name, **{**fields, "repositories": tuple(fields.get("repositories", ()))})
        for name, fields in tables.items()
    }


REGISTRY: dict[str, RegisteredModel] = _read()
"""All of them by name, in the order in which they are listed."""


def registered(name_or_path: str) -> RegisteredModel | None:
    """Return what is known of a model by its name, or by the name that its authors gave the file.

    Examples
    --------
    >>> registered("downloads/MedSAM2_latest.pt").name, registered("cells.safetensors")
    ('medsam2_latest', None)
    """
    if name_or_path in REGISTRY:
        return REGISTRY[name_or_path]
    path = Path(name_or_path)
    if not path.suffix:
        return None
    return next((model for model in REGISTRY.values() if model.file_name == path.name), None)
