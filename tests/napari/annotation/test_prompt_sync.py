from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layer_prompts import prompt
from numpy.typing import NDArray

from napari_plugin.annotation.prompt_sync import PromptSync
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

KEY = (1, 0)
ONE = prompt(((20, 20),), (1,))
TWO = prompt(((20, 20), (40, 30)), (1, 0))


@pytest.fixture
def session(discs: NDArray[np.uint8], small_checkpoint: Path) -> AnnotationSession:
    session = AnnotationSession(discs, ModelStore("cpu"), small_checkpoint, axes="TYX")
    session.add_object()
    return session


def clicks(session: AnnotationSession) -> list[list[float]]:
    prompts = session.prompts_of(1).get(0, ())
    return [point for one in prompts if one.points is not None for point in one.points.coordinates.tolist()]


def mask(session: AnnotationSession) -> Any:
    return session.mask(1, 0)


def test_only_what_differs_is_news(session: AnnotationSession) -> None:
    sync = PromptSync(session)
    assert sync.want({KEY: ONE}) == [KEY]
    assert sync.want({KEY: ONE}) == []
    assert sync.want({KEY: ONE, (1, 3): ONE}) == [(1, 3)]
    assert sync.want({(1, 3): ONE}) == [KEY]


def test_an_overtaken_prompt_is_never_computed(session: AnnotationSession) -> None:
    sync = PromptSync(session)
    sync.want({KEY: ONE})
    sync.want({KEY: TWO})  # before the worker came to the first one
    assert sync.apply(KEY)
    assert clicks(session) == [[20, 20], [40, 30]]
    newest = mask(session)
    assert not sync.apply(KEY)  # what was queued for the second one has nothing left to do
    np.testing.assert_array_equal(mask(session), newest)


def test_a_further_click_refines_the_mask_of_the_ones_before(
    session: AnnotationSession, discs: NDArray[np.uint8], small_checkpoint: Path
) -> None:
    sync = PromptSync(session)
    for prompts in (ONE, TWO):
        sync.want({KEY: prompts})
        sync.apply(KEY)
    reference = AnnotationSession(discs, ModelStore("cpu"), small_checkpoint, axes="TYX")
    reference.add_object()
    reference.add_points(0, 1, [[20, 20]])
    reference.add_points(0, 1, [[40, 30]], [0])
    np.testing.assert_array_equal(mask(session), mask(reference))


def test_a_click_taken_back_leaves_no_trace(session: AnnotationSession) -> None:
    sync = PromptSync(session)
    sync.want({KEY: ONE})
    sync.apply(KEY)
    before = mask(session)
    sync.want({KEY: TWO})
    sync.apply(KEY)
    sync.want({KEY: ONE})
    sync.apply(KEY)
    np.testing.assert_array_equal(mask(session), before)
    sync.want({})
    assert sync.apply(KEY)
    assert mask(session) is None
    assert clicks(session) == []


def test_boxes_alone_and_with_clicks(session: AnnotationSession) -> None:
    sync = PromptSync(session)
    box = (10.0, 10.0, 30.0, 30.0)
    for prompts in (
        prompt(box=box),
        prompt(((20, 20),), (1,), box),
        prompt(((20, 20),), (1,)),
    ):
        sync.want({KEY: prompts})
        assert sync.apply(KEY)
        given = session.prompts_of(1)[0]
        assert any(one.box is not None for one in given) == (prompts.box is not None)
        assert len(clicks(session)) == (0 if prompts.points is None else len(prompts.points))


def test_prompts_of_a_removed_object_are_left_alone(session: AnnotationSession) -> None:
    sync = PromptSync(session)
    sync.want({KEY: ONE})
    session.remove_object(1)
    assert not sync.apply(KEY)
