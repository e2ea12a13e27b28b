"""What an annotator sees of an answer that is not all: a note on the region; tracking again by two clicks."""

from collections.abc import Callable
from typing import Any

from label_studio_host import MARKS, LabelStudio, Workspace, make_project

pytestmark = MARKS
CONFIG = """<View>
  <Labels name="kind" toName="video" allowEmpty="true"><Label value="Ball"/></Labels>
  <Video name="video" value="$video" framerate="10"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
</View>"""


def test_a_label_clicked_twice_tracks_again_and_the_page_shows_the_note(
    label_studio: LabelStudio, workspaces: Callable[[], Workspace], drive: Any
) -> None:
    workspace = workspaces()
    workspace.set(PREDICT_SECONDS="0.3")  # so that the first answer is not all
    project = make_project(label_studio, workspace.serve(), CONFIG, "moving.mp4")
    (first, without, again), (region,) = drive("again", project)
    assert first["received"][0]["meta"]["text"][0].startswith("SAM 2 reached frame")
    assert (without["sent"][0]["value"].get("labels") or [], without["received"]) == ([], [])
    assert again["sent"][0]["value"]["labels"] == ["Ball"]
    assert again["received"][0]["id"] == region["id"]
    assert region["meta"]["text"]
