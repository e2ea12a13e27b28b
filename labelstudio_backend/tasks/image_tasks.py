"""Predictions for images, from drawn or stored prompts or of everything, as the configuration's regions."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import Any

from labelstudio_backend.media.library import MediaFile, MediaLibrary
from labelstudio_backend.schema.image_prompts import LabeledPrompt, drawn_prompts
from labelstudio_backend.schema.labeling_config import Target
from labelstudio_backend.schema.mask_regions import mask_regions
from labelstudio_backend.schema.project_parameters import ProjectParameters
from labelstudio_backend.schema.regions import Region, ScoredRegions
from labelstudio_backend.tasks.doubts import scores_by_object, task_score
from labelstudio_backend.tasks.image_preannotation import prompts_of_task, segment_everything
from labelstudio_backend.tasks.lanes import Lane, Ticket
from labelstudio_backend.tasks.request_options import RequestOptions
from labelstudio_backend.tasks.session_cache import SessionCache
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["ImageTasks"]


class ImageTasks:
    """Tasks that show images.

    Parameters
    ----------
    store
        The process's models.
    media
        Where images come from.
    sessions
        Open images, cached for the next click.
    features
        Their encoded frames.
    background
        In which images of batches are worked on.
    """

    def __init__(
        self,
        store: ModelStore,
        media: MediaLibrary,
        sessions: SessionCache,
        features: FeatureCache,
        background: Lane,
    ) -> None:
        self._background = background
        self._store = store
        self._media = media
        self._sessions = sessions
        self._features = features

    def predict_interactive(
        self, task: Mapping[str, Any], target: Target, regions: Sequence[object], options: RequestOptions
    ) -> ScoredRegions:
        """Return regions for what a person has just drawn, and their score (0 to 1).

        Raises
        ------
        InputError
            If the image cannot be read, or a region cannot be used as a prompt.
        """
        page, rotation = _page_and_rotation(regions)
        with self.session(target.media.source(task, page), options) as session:
            prompts = drawn_prompts(regions, session.shape)
            found, score = segment(session, prompts, target, options.parameters)
        return _on_page(found, target, page, rotation), score

    def session(self, address: str, options: RequestOptions) -> AbstractContextManager[AnnotationSession]:
        """Give the session of an image, without objects, for a ``with`` block; it stays for the next click.

        Raises
        ------
        InputError
            If the image cannot be read, or another request works on it for too long.
        """
        open_session = partial(self._open, address, options.model, self._features)
        return self._sessions.use(f"{options.model} {address}", open_session, options.ticket)

    def predict_batch(
        self, task: Mapping[str, Any], target: Target, options: RequestOptions
    ) -> ScoredRegions | None:
        """Return regions for the prompts that a task holds, else of everything on its image, as is set.

        Returns
        -------
        None if the project wants none, or only from prompts, and there are none.

        Raises
        ------
        InputError
            If the image cannot be read, or a prompt cannot be used.
        """
        if options.parameters.batch == "off":
            return None
        pages = [
            scored
            for page, address in enumerate(target.media.sources(task))
            if (scored := self._predict_page(task, target, page, address, options)) is not None
        ]
        if not pages:
            return None
        return [region for found, _ in pages for region in found], task_score(score for _, score in pages)

    def _predict_page(
        self, task: Mapping[str, Any], target: Target, page: int, address: str, options: RequestOptions
    ) -> ScoredRegions | None:
        prompted = partial(prompts_of_task, task, target, version=options.model_version, page=page)
        if options.parameters.batch == "prompts" and not prompted(shape=(1, 1)):
            self._media.check(address)  # what cannot be read is told, although there is no need to read it
            return None
        with self._background.place(Ticket()):
            # Images of a batch are seen once: they stay out of the caches that serve clicks.
            session, _file = self._open(address, options.model, None)
            with closing(session.frames):
                if prompts := prompted(shape=session.shape):
                    with self._store.lock.held(Priority.BACKGROUND):
                        found, score = segment(session, prompts, target, options.parameters)
                else:
                    found, score = segment_everything(session, self._store, target, options.parameters)
        return _on_page(found, target, page), score

    def _open(
        self, address: str, model: str, features: FeatureCache | None
    ) -> tuple[AnnotationSession, MediaFile]:
        image, file = self._media.image(address)
        axes = "YXS" if image.ndim == 3 else "YX"
        session = AnnotationSession(
            image, self._store, model, axes=axes, history=None, cache=features, undo_bytes=0
        )
        return session, file


def segment(
    session: AnnotationSession,
    prompts: Sequence[LabeledPrompt],
    target: Target,
    parameters: ProjectParameters,
) -> ScoredRegions:
    """Return regions for prompts, one per object, and the score of all of them (0 to 1).

    Parameters
    ----------
    session
        A session without objects on the image.
    parameters
        Of the project; by their tolerance polygons are simplified.

    Raises
    ------
    InputError
        If no control tag accepts a prompt's label, or a prompt lies outside of the image.
    """
    controls = [target.control_for(*prompt.labels) for prompt in prompts]
    tolerance = parameters.polygon_tolerance(session.shape)
    drawn = []
    for prompt in prompts:
        drawn.append(session.add_object(label=", ".join(prompt.labels) or None))
        session.add_prompt(0, drawn[-1], prompt.prompt)
    accepted = {object_id: session.accepted(object_id, 0) for object_id in drawn}
    scores = scores_by_object({key: {0: mask} for key, mask in accepted.items() if mask is not None})
    regions: list[Region] = []
    for object_id, prompt, control in zip(drawn, prompts, controls):
        mask = session.mask(object_id, 0)
        if mask is not None and mask.any():
            regions += mask_regions(mask, control, prompt.labels, scores[object_id], tolerance)
    return regions, task_score(scores.values())


def _page_and_rotation(regions: Sequence[object]) -> tuple[int, object]:
    """Return the page of an image that regions were drawn on, from 0, and how it was turned there."""
    found = [region for region in regions if isinstance(region, Mapping)]
    pages = [region.get("item_index") or 0 for region in found] or [0]
    page = pages[0]
    if isinstance(page, bool) or not isinstance(page, int) or any(other != page for other in pages):
        raise InputError("The drawn regions lie on several pages; draw on one of them at a time.")
    return page, next((region["image_rotation"] for region in found if region.get("image_rotation")), 0)


def _on_page(regions: list[Region], target: Target, page: int, rotation: object = 0) -> list[Region]:
    """Return regions with the page that they lie on, where there are pages, and the page's rotation."""
    where = {"item_index": page} if target.media.has_pages else {}
    return [{**region, "image_rotation": rotation, **where} for region in regions]
