"""Hugging Face hub: models are shared through it, as folders of weights and card; pickles are never taken."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sam2_engine.disk import remove_folder
from sam2_engine.errors import InputError, OptionError
from sam2_engine.weights.hub_names import HubName, is_hub_name
from sam2_engine.weights.loading import holds_adapter, read_weights
from sam2_engine.weights.model_folder import (
    ADAPTER_FILE,
    CARD_FILE,
    MODEL_FILES,
    WEIGHTS_FILE,
    ModelCard,
    allows_commercial_use,
    checked_folder,
    read_card,
)
from sam2_engine.weights.registry import REGISTRY

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["HubModel", "fetch_from_hub", "find_on_hub", "push"]

SOURCE_FILE = "source.json"
"""Which commit of which repository was fetched."""
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class HubModel:
    """A model on the hub, of which only the card was fetched.

    Attributes
    ----------
    name, commit
        What it is called; the commit that the name stands for now.
    files
        Those of the model, as they are called there.
    weights
        The one with the weights.
    terms
        A sentence on its license.
    needs_consent
        Whether that is asked for.
    page
        Its address.
    """

    name: HubName
    commit: str
    files: tuple[str, ...]
    weights: str
    terms: str
    needs_consent: bool
    page: str


def find_on_hub(name: str) -> HubModel:
    """Return what the hub says of a model.

    Raises
    ------
    InputError
        If there is none, no network, or only files that may hold code.
    """
    wanted = HubName.parse(name)
    api = _api()
    with _in_sentences(wanted, api.endpoint):
        info = api.model_info(wanted.repository, revision=wanted.revision)
        names = [one.rfilename for one in info.siblings or ()]
        weights = _weights_of(wanted, names)
        card = _fetch_card(api, wanted, info.sha) if CARD_FILE in names else None
    page = f"{api.endpoint}/{wanted.repository}"
    files = tuple(dict.fromkeys([weights, *(one for one in (CARD_FILE, "README.md") if one in names)]))
    if card is not None:
        return HubModel(wanted, str(info.sha), files, weights, card.terms, card.needs_consent, page)
    stated = _stated_license(info)
    terms = f"License: {stated or 'not stated'}."
    return HubModel(wanted, str(info.sha), files, weights, terms, not allows_commercial_use(stated), page)


def fetch_from_hub(
    name: str | HubModel, progress: Progress | None = None, *, accept_license: bool = False
) -> Path:
    """Fetch a model from the hub, or return the one that was fetched.

    Parameters
    ----------
    name
        ``hf:owner/name``, or what :func:`find_on_hub` returned.
    progress
        Called with the bytes received and the bytes in all, or None.
    accept_license
        Whether a license that forbids commercial use, or that nobody states, is accepted.

    Returns
    -------
    Path
        The file of its weights. From now on the name stands for this commit, with or without a network.

    Raises
    ------
    InputError
        If it is not there, its license has to be accepted, or it is not what its card says.
    """
    wanted = name.name if isinstance(name, HubModel) else HubName.parse(name)
    if (here := wanted.weights) is not None:
        return here
    model = name if isinstance(name, HubModel) else find_on_hub(name)
    if model.needs_consent and not accept_license:
        raise OptionError(
            f"{wanted} has a license to accept first. {model.terms} Read it at {model.page}, and if you "
            f"accept it, fetch it with `sam2 download {wanted}` and {{accept_license}}.",
            accept_license=True,
        )
    aside = wanted.folder.with_name(f".{wanted.folder.name}.part")
    try:
        aside.mkdir(parents=True, exist_ok=True)
        _fetch_files(model, aside, progress)
        _check(aside)
        aside.replace(wanted.folder)
    except OSError as error:
        raise InputError(f"{wanted} cannot be stored in {wanted.folder} ({error.strerror}).") from None
    weights = wanted.weights
    assert weights is not None, "it was checked"
    return weights


def _fetch_files(model: HubModel, folder: Path, progress: Progress | None) -> None:
    """Fetch the files of a model, under the names that they have in a model folder."""
    from huggingface_hub import hf_hub_download

    api = _api()
    with _in_sentences(model.name, api.endpoint):
        for file in model.files:
            path = hf_hub_download(
                model.name.repository,
                file,
                revision=model.commit,
                local_dir=folder,
                endpoint=api.endpoint,
                tqdm_class=_reporting(progress if file == model.weights else None),
            )
            called = file if file in MODEL_FILES else WEIGHTS_FILE
            Path(path).replace(folder / called)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # what the client noted beside the files
    source = {"repository": model.name.repository, "commit": model.commit}
    (folder / SOURCE_FILE).write_text(json.dumps(source) + "\n", encoding="utf-8")


def _check(folder: Path) -> None:
    """Refuse what is not what its card says, or no model, and remove it."""
    try:
        weights = checked_folder(folder)
        if not holds_adapter(weights):  # its base may not be here yet
            read_weights(weights)
    except InputError:
        remove_folder(folder)
        raise


def push(folder: str | os.PathLike[str], name: str, *, private: bool = False) -> str:
    """Put a model folder onto the hub; return its address.

    Parameters
    ----------
    folder
        As ``sam2 train`` writes it; of a run's folder only what is of the model.
    name
        ``owner/name``; the repository is made if there is none.
    private
        Whether a new one is only for its owner.

    Raises
    ------
    InputError
        If the folder has no card, or one that lies; if it is an adapter of a model that others cannot have;
        if nobody is logged in, or may not write there.
    """
    folder, wanted = Path(folder), HubName.parse(name)
    weights, card = checked_folder(folder), read_card(folder)
    if card is None:
        raise InputError(f"{folder} has no card that says what it is: push a folder that sam2 train wrote.")
    if weights.name == ADAPTER_FILE and card.base not in REGISTRY and not is_hub_name(card.base):
        raise InputError(
            f"{folder} is an adapter for {card.base}, which others do not have by that name: train it again "
            "from a model that `sam2 download` fetches, or without --lora."
        )
    api = _api()
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with _in_sentences(wanted, api.endpoint):
        api.create_repo(wanted.repository, private=private or None, exist_ok=True)
        there = {one.rfilename for one in api.model_info(wanted.repository).siblings or ()}
        ours = [one for one in MODEL_FILES if (folder / one).is_file()]
        adds = [CommitOperationAdd(one, str(folder / one)) for one in ours]
        stale = [CommitOperationDelete(one) for one in MODEL_FILES if one in there and one not in ours]
        api.create_commit(
            wanted.repository, [*adds, *stale], commit_message=f"{card.name}, by {card.software}"
        )
    return f"{api.endpoint}/{wanted.repository}"


def _api() -> "HfApi":
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise InputError('The hub needs another package: pip install "sam2-plugins[hub]".') from None
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="sam2-plugins")


def _weights_of(wanted: HubName, names: list[str]) -> str:
    """Return the file of weights of a repository.

    Raises
    ------
    InputError
        If there is none that is safe.
    """
    for one in (WEIGHTS_FILE, ADAPTER_FILE):
        if one in names:
            return one
    safe = [one for one in names if one.endswith(".safetensors") and "/" not in one]
    if len(safe) == 1:
        return safe[0]
    pickles = [one for one in names if PurePosixPath(one).suffix in _PICKLES]
    if pickles and not safe:
        raise InputError(
            f"{wanted} holds pickles alone ({pickles[0]}), which may run code when they are read: only "
            "safetensors are taken from the hub; ask its authors for model.safetensors."
        )
    raise InputError(f"{wanted} holds no model: it should have one file model.safetensors.")


def _fetch_card(api: "HfApi", wanted: HubName, commit: str | None) -> ModelCard | None:
    """Read the card before the weights are fetched."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        api.hf_hub_download(wanted.repository, CARD_FILE, revision=commit, local_dir=folder)
        return read_card(Path(folder))


def _stated_license(info: Any) -> str | None:
    """Return the license that a repository's page states, as of ``license: mit`` in its README."""
    tags = [one.removeprefix("license:") for one in info.tags or () if one.startswith("license:")]
    return next((one for one in tags if one not in ("other", "unknown")), None)


@contextmanager
def _in_sentences(wanted: HubName, endpoint: str) -> Iterator[None]:
    """Tell what went wrong at the hub in a sentence; none of them repeats a token or an address with one."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        with _without_bars():
            yield
    except InputError:
        raise
    except GatedRepoError:
        sentence = (
            f"{wanted} is open to those who asked for it: ask at {endpoint}/{wanted.repository}, and {login}."
        )
    except RevisionNotFoundError:
        sentence = f"{wanted.repository} has no revision {wanted.revision}: give another, or none."
    except RepositoryNotFoundError:
        sentence = f"There is no model {wanted} on the hub, or it is private: check the name, or {login}."
    except HFValidationError:
        sentence = f"{str(wanted)!r} is no name of a model on the hub: give hf:owner/name."
    except LocalTokenNotFoundError:
        sentence = f"To use {wanted}, {login}."
    except OfflineModeIsEnabled:
        sentence = f"{wanted} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it."
    except HfHubHTTPError as error:
        status = error.response.status_code
        may = f": {login}, as somebody who may do that" if status in (401, 403) else ": try again later"
        sentence = f"The hub answered HTTP {status} for {wanted}{may}."
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise  # of this machine's disk
        sentence = f"No connection to the hub ({endpoint}) for {wanted}: check the network, and try again."
    except Exception as error:  # of the client's own transport
        if not type(error).__module__.startswith(("httpx", "httpcore")):
            raise
        sentence = f"No connection to the hub ({endpoint}) for {wanted}: check the network, and try again."
    else:
        return
    raise InputError(sentence) from None


@contextmanager
def _without_bars() -> Iterator[None]:
    """Let the client draw no bars of its own, which would lie across a host's."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown = not are_progress_bars_disabled()
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _reporting(progress: Progress | None) -> Any:
    """Return a class like tqdm's that shows nothing, and tells ``progress``."""

    class Reporting:
        def __init__(self, *_: object, total: float | None = None, initial: int = 0, **__: object) -> None:
            self.total, self.n = total, initial

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            if progress is not None:
                progress(self.n, None if self.total is None else int(self.total))

        def __enter__(self) -> "Reporting":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def __getattr__(self, _: str) -> Callable[..., None]:
            return lambda *args, **kwargs: None

    return Reporting
