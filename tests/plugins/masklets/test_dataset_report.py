"""Report on a data set: seconds and edits by phase, agreement, quality, coverage, disappearance."""

from pathlib import Path

import numpy as np
import pytest
from masklet_data import Maker, square

from sam2_plugins.cli.app import main
from sam2_plugins.masklets.decisions import Decision, Edit, Status, Verdict
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.masklets.report import report_on
from sam2_plugins.runtime.model_store import ModelStore


def test_phases_are_counted_apart(made: Maker) -> None:
    dataset = made({"a": 4})
    for masklet, seconds, edits, tracked in (
        (1, 2.0, (), False),
        (2, 40.0, (Edit(0), Edit(1)), False),
        (3, 10.0, (Edit(1, clicks=3),), True),
    ):
        verdict = Verdict.ACCEPT if masklet != 3 else Verdict.REJECT
        dataset.decide(Decision("a", masklet, verdict, "ada", seconds, 4, edits, tracked))
    found = report_on(dataset)
    assert {row.phase: (row.masklets, row.accepted) for row in found.phases} == {
        0: (1, 1),
        1: (1, 1),
        3: (1, 0),
        None: (3, 2),
    }
    rows = {row.phase: row for row in found.phases}
    assert (rows[1].seconds, rows[1].frames, rows[1].edited, rows[1].clicks) == (40.0, 4, 2, 0)
    assert rows[3].clicks == 3
    assert rows[None].per_hour == pytest.approx(3600 * 3 / 52)
    assert found.masklets == {
        Status.OPEN: 1,
        Status.ACCEPTED: 2,
        Status.REJECTED: 1,
        Status.DISPUTED: 0,
    }


def test_a_persons_newest_word_counts_once(made: Maker) -> None:
    dataset = made({"a": 1})
    for verdict in (Verdict.REJECT, Verdict.ACCEPT):
        dataset.decide(Decision("a", 1, verdict, "ada", 5.0, 4))
    (_, everything) = report_on(dataset).phases
    assert (everything.masklets, everything.seconds) == (1, 5.0)


def test_agreement_of_two(made: Maker) -> None:
    dataset = made({"a": 4})
    for masklet, words in enumerate(("aa", "ar", "rr", "aa"), start=1):
        for person, word in zip(("ada", "bob"), words):
            verdict = Verdict.ACCEPT if word == "a" else Verdict.REJECT
            dataset.decide(Decision("a", masklet, verdict, person, 1.0, 4))
    found = report_on(dataset)
    assert (found.agreement.pairs, found.agreement.agreed) == (4, 3)
    assert found.agreement.kappa == pytest.approx(0.5)
    assert found.masklets[Status.DISPUTED] == 1


def test_quality_is_that_of_the_model_against_what_was_verified(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.correct(1, mask=square(4, 16))  # as found: rows 11 to 20
        queue.accept()
        queue.next()
        queue.accept()
    quality = report_on(dataset).quality
    assert quality.masklets == 2
    assert quality.iou == pytest.approx((1 + (3 + 5 / 15) / 4) / 2)
    assert quality.alike == 7 / 8


def test_coverage_and_disappearance(made: Maker, store: ModelStore) -> None:
    dataset = made({"a": 2})
    assert report_on(dataset).coverage == pytest.approx(200 / 4800)
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.correct(2, mask=np.zeros((60, 80), bool))
        queue.accept()
    assert report_on(dataset).disappearance == 1.0
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.reject()
    assert report_on(dataset).coverage == pytest.approx(100 / 4800)


def test_the_report_writes_what_a_broken_off_verification_left(
    made: Maker, store: ModelStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dataset = made({"a": 1})
    with dataset.opened("a", store) as (session, _):  # killed before the JSON files were written
        session.verify(1, range(4))
    dataset.decide(Decision("a", 1, Verdict.ACCEPT, "ada", 2.0, 4))
    assert dataset.unsettled() == ["a"]
    assert main(["masklets", "report", str(dataset.path), "--csv", str(tmp_path / "phases.csv")]) == 0
    said = capsys.readouterr().out
    assert "1 masklet: 1 verified, 0 rejected" in said
    assert "1800" in said
    assert dataset.unsettled() == []
    assert dataset.verified("a") is not None
    assert (
        (tmp_path / "phases.csv")
        .read_text()
        .splitlines()[1]
        .startswith("accepted or rejected at sight,1,100")
    )


def test_a_verdict_is_given_on_the_command_line(made: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = made({"a": 2})
    said = ["--by", "ada", "--seconds", "3"]
    assert (
        main(["masklets", "verdict", str(dataset.path), "--video", "a", "--masklet", "2", "--accept", *said])
        == 0
    )
    assert (
        main(["masklets", "verdict", str(dataset.path), "--video", "a", "--masklet", "7", "--accept", *said])
        == 2
    )
    assert "a has no masklet 7" in capsys.readouterr().err
    assert dataset.statuses("a") == {1: Status.OPEN, 2: Status.ACCEPTED}
    assert main(["masklets", "queue", str(dataset.path), "--by", "bob"]) == 0
    assert "1 masklet to verify" in capsys.readouterr().out
