"""Verification of masklets: what is shown, what is said of it, and that it is on disk at once."""

import json
from pathlib import Path

import numpy as np
import pytest
from masklet_data import Maker, square

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError, InputWarning
from sam2_plugins.cli.app import main
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Decision, DecisionLog, Edit, Status, Verdict
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import read_session


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_masklets_are_shown_video_by_video_the_most_doubtful_first(made: Maker, store: ModelStore) -> None:
    dataset = made({"b": 1, "a": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        waiting = [(one.video, one.masklet) for one in queue.waiting()]
    assert waiting == [("a", 1), ("a", 2), ("b", 1)]


def test_a_verdict_takes_a_masklet_from_auto_to_manual_or_out(made: Maker, store: ModelStore) -> None:
    dataset, clock = made({"a": 3}), Clock()
    with VerificationQueue(dataset, store, "ada", clock=clock) as queue:
        queue.next()
        clock.now = 2.5
        assert queue.accept().seconds == 2.5
        queue.next()
        queue.reject()
        assert queue.next() is not None
    assert dataset.statuses("a") == {1: Status.ACCEPTED, 2: Status.REJECTED, 3: Status.OPEN}
    kinds = {kind: json.loads(dataset.annotations("a", kind).read_text()) for kind in ("auto", "manual")}
    assert [kinds[kind]["masklet_id"] for kind in ("auto", "manual")] == [[3], [1]]
    with find_dataset(dataset.path) as data:  # what is trained on: the verified one
        (trained,) = data.videos
        assert not trained.record.annotates_all
        assert trained.visible == {frame: {1} for frame in range(4)}
        assert np.array_equal(trained.annotation(2).mask(1), square(4, 12))


def test_a_verdict_is_on_disk_before_the_queue_is_closed(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1})
    queue = VerificationQueue(dataset, store, "ada")
    queue.next()
    queue.accept()
    again = MaskletDataset.open(dataset.path)  # as another process after a crash of this one
    assert again.statuses("a") == {1: Status.ACCEPTED}
    assert again.unsettled() == ["a"]
    with pytest.raises(InputError, match="not written yet; `sam2 masklets report"):
        find_dataset(dataset.path)
    queue.close()
    assert again.unsettled() == []


def test_nothing_is_trained_on_before_something_is_verified(made: Maker) -> None:
    with pytest.raises(InputError, match="is verified yet"):
        find_dataset(made({"a": 1}).path)


def test_a_correction_is_tracked_and_counted(made: Maker, store: ModelStore) -> None:
    dataset, clock = made({"a": 1}), Clock()
    with VerificationQueue(dataset, store, "ada", clock=clock) as queue:
        queue.next()
        queue.correct(2, mask=square(40, 30))
        for _ in queue.track():
            clock.now += 100  # the machine's time, not the person's
        clock.now += 3
        decision = queue.accept()
        assert np.array_equal(queue.mask(2), square(40, 30))
    assert (decision.edits, decision.tracked, decision.phase) == ((Edit(2),), True, 2)
    assert decision.seconds == 3
    assert decision.iou < 1
    (content,) = [json.loads(dataset.annotations("a", "manual").read_text())]
    assert content["masklet_edited_frame_count"] == [1]


def test_the_phase_is_told_by_what_was_done() -> None:
    def phase(edits: tuple[Edit, ...], tracked: bool) -> int:
        return Decision("a", 1, Verdict.ACCEPT, "ada", 1.0, 4, edits, tracked).phase

    painted, clicked = Edit(1), Edit(1, clicks=2)
    assert [phase((), False), phase((painted,), False)] == [0, 1]
    assert [phase((painted,), True), phase((clicked, Edit(2, boxes=1)), True)] == [2, 3]


def test_a_verdict_is_taken_back(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        assert queue.take_back() is None
        first = queue.next()
        queue.accept()
        queue.next()
        assert queue.take_back() == first
        assert not queue.session.verified(1)
        queue.reject()
    assert dataset.statuses("a")[1] is Status.REJECTED
    assert not dataset.annotations("a", "manual").exists()
    assert len(dataset.decisions.read()) == 3  # nothing is ever taken out


def test_what_two_verifiers_disagree_on_is_not_trained_on(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        while queue.next():
            queue.accept()
    with VerificationQueue(dataset, store, "ada", second=True) as queue:
        assert queue.next() is None  # it is somebody else who looks a second time
    with VerificationQueue(dataset, store, "bob", second=True) as queue:
        queue.next()
        queue.reject()
        queue.next()
        queue.accept()
        assert queue.next() is None
    assert dataset.statuses("a") == {1: Status.DISPUTED, 2: Status.ACCEPTED}
    manual = dataset.verified("a")
    assert manual is not None
    assert manual["masklet_id"] == [2]


def test_what_was_accepted_stays_so_until_a_second_look_has_a_verdict(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
    before = dataset.verified("a")
    with VerificationQueue(dataset, store, "bob") as queue:
        queue.go_to("a", 1)
        queue.correct(2, mask=square(40, 30))  # and then something else comes up
        queue.go_to("a", 2)
        queue.reject()
    assert dataset.verified("a") == before


def test_a_video_that_is_open_elsewhere_is_passed_over(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1, "b": 1})
    with VerificationQueue(dataset, store, "ada") as ada, VerificationQueue(dataset, store, "bob") as bob:
        shown = ada.next(), bob.next()
        assert [one and one.video for one in shown] == ["a", "b"]
        assert "open in another window or process" in bob.problems["a"]


def test_a_person_has_a_name(made: Maker, store: ModelStore) -> None:
    with pytest.raises(InputError, match="Say who verifies"):
        VerificationQueue(made({}), store, " ")


def test_a_line_that_was_cut_short_loses_no_other(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl")
    log.add(Decision("a", 1, Verdict.ACCEPT, "ada", 1.0, 4))
    with log.path.open("ab") as file:
        file.write(b'{"number": 2, "video": "a", "mas')
    log.add(Decision("a", 2, Verdict.REJECT, "ada", 1.0, 4))
    assert [one.masklet for one in log.read()] == [1, 2]


def test_a_damaged_line_is_named_and_nothing_is_written_behind_it(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl")
    for masklet in (1, 2):
        log.add(Decision("a", masklet, Verdict.ACCEPT, "ada", 1.0, 4))
    lines = log.path.read_text().splitlines(keepends=True)
    log.path.write_text(f"oops\n{lines[1]}")
    for use in (log.read, lambda: log.add(Decision("a", 3, Verdict.ACCEPT, "ada", 1.0, 4))):
        with pytest.raises(InputError, match="damaged in line 1"):
            use()


@pytest.mark.parametrize("how", [["undo"], ["verify", "--object", "1", "--not"]])
def test_what_is_taken_back_in_the_session_waits_again(
    made: Maker, store: ModelStore, how: list[str]
) -> None:
    dataset = made({"a": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
    assert dataset.unsettled() == []
    command, *options = how
    assert main([command, str(dataset.session("a")), *options]) == 0
    assert dataset.unsettled() == ["a"]
    with (
        pytest.warns(InputWarning, match="newest verdicts on a are not written yet"),
        find_dataset(dataset.path),
    ):
        pass
    with VerificationQueue(dataset, store, "bob") as queue:
        assert [one.masklet for one in queue.waiting()] == [1, 2]
    assert dataset.statuses("a") == {1: Status.OPEN, 2: Status.OPEN}
    assert dataset.verified("a") is None
    assert dataset.unsettled() == []
    assert [(one.by, one.verdict) for one in dataset.decisions.read()] == [
        ("ada", Verdict.ACCEPT),
        ("ada", Verdict.WITHDRAW),
    ]


def test_what_is_undone_and_done_again_in_the_session_stays_accepted(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
    before = dataset.verified("a")
    for options in ([], ["--redo"]):
        assert main(["undo", str(dataset.session("a")), *options]) == 0
    assert dataset.settle_all(store) == []
    assert dataset.statuses("a") == {1: Status.ACCEPTED}
    assert dataset.verified("a") == before


def say(dataset: MaskletDataset, store: ModelStore, words: list[tuple[str, Verdict]]) -> None:
    for by, verdict in words:
        with VerificationQueue(dataset, store, by) as queue:
            queue.go_to("a", 1)
            queue.decide(verdict)


def after(dataset: MaskletDataset, store: ModelStore, *done: str) -> Status:
    """Undo and redo in the session, and look at the data set."""
    for one in done:
        assert main(["undo", str(dataset.session("a")), *(["--redo"] if one == "redo" else [])]) == 0
    assert dataset.settle_all(store) == []
    written = dataset.verified("a") is not None
    status = dataset.statuses("a")[1]
    assert written == (status is Status.ACCEPTED)
    return status


ADA, BOB, CY = ("ada", Verdict.ACCEPT), ("bob", Verdict.REJECT), ("cy", Verdict.REJECT)


@pytest.mark.parametrize(
    ("words", "without", "without_any"),
    [
        ([ADA, BOB], Status.ACCEPTED, Status.OPEN),
        ([ADA, BOB, CY], Status.ACCEPTED, Status.OPEN),
        ([BOB, ADA], Status.REJECTED, None),
        ([ADA, ("ada", Verdict.REJECT)], Status.ACCEPTED, Status.OPEN),
    ],
    ids=["the last", "two that say the same", "another's", "one's own"],
)
def test_what_is_undone_in_the_session_counts_no_more_and_again_when_it_is_redone(
    made: Maker,
    store: ModelStore,
    words: list[tuple[str, Verdict]],
    without: Status,
    without_any: Status | None,
) -> None:
    dataset = made({"a": 1})
    say(dataset, store, words)
    said = dataset.statuses("a")[1]
    assert after(dataset, store, "undo") is without
    assert after(dataset, store, "redo") is said
    assert after(dataset, store, "undo", "redo", "undo") is without
    if without_any is not None:
        assert after(dataset, store, "undo") is without_any
        assert after(dataset, store, "redo") is without
    assert after(dataset, store, "redo") is said
    if without_any is not None:
        assert after(dataset, store, "undo", "undo") is without_any
        assert after(dataset, store, "redo", "redo") is said


def test_what_somebody_takes_back_leaves_what_others_said(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1})
    say(dataset, store, [ADA])
    before = dataset.verified("a")
    for verdict in (Verdict.ACCEPT, Verdict.REJECT):
        say(dataset, store, [("bob", verdict), ("bob", Verdict.WITHDRAW)])
        assert after(dataset, store) is Status.ACCEPTED
        assert dataset.verified("a") == before
    with VerificationQueue(dataset, store, "bob") as queue:  # who has corrected it before
        queue.go_to("a", 1)
        queue.correct(2, mask=square(40, 30))
        queue.accept()
        queue.take_back()
    assert after(dataset, store) is Status.ACCEPTED


def test_masks_that_are_verified_of_what_all_reject_change_nothing(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1})
    say(dataset, store, [BOB])
    with dataset.opened("a", store) as (session, _):
        session.verify(1, session.frames_of(1))
    assert after(dataset, store) is Status.REJECTED


def test_looking_into_a_session_changes_no_annotations(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
    with dataset.opened("a", store):
        pass
    read_session(dataset.session("a"), store).frames.close()
    assert dataset.unsettled() == []


def test_a_correction_that_is_undone_ends_with_what_was_accepted(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 1})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
    before = dataset.verified("a")
    with VerificationQueue(dataset, store, "bob") as queue:
        queue.go_to("a", 1)
        queue.correct(2, mask=square(40, 30))
    assert dataset.statuses("a") == {1: Status.ACCEPTED}
    for _ in range(2):  # the mask, and that it is open again
        assert main(["undo", str(dataset.session("a"))]) == 0
    dataset.settle_all(store)
    assert dataset.verified("a") == before
    assert main(["undo", str(dataset.session("a"))]) == 0  # that it was accepted
    dataset.settle_all(store)
    assert dataset.statuses("a") == {1: Status.OPEN}


def test_what_has_lost_masks_is_not_accepted_as_absent(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    with dataset.opened("a", store) as (session, _):
        session.add_mask(2, 1, square(4, 12))
        session.clear_prompts(1, 2)
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.go_to("a", 1)
        with pytest.raises(InputError, match="no mask any more on frame 2, where it was found: track it"):
            queue.accept()
    assert dataset.statuses("a")[1] is Status.OPEN
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.go_to("a", 1)
        queue.reject()


def test_a_masklet_that_its_session_has_no_more_is_passed_over(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    with dataset.opened("a", store) as (session, _):
        session.remove_object(1)
    with VerificationQueue(dataset, store, "ada") as queue:
        with pytest.raises(InputError, match="has its masklet 1 no more: it was undone or removed in"):
            queue.go_to("a", 1)
        shown = queue.next()
        assert shown is not None
        assert shown.masklet == 2
        queue.accept()
        assert queue.next() is None
        assert "masklet 1 no more" in queue.problems["a, masklet 1"]
