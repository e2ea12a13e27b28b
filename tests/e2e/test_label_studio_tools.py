"""The page's tools in a real Label Studio: its keys, Auto-Accept, and which of them ask a backend at all."""

import re
from typing import Any

import pytest
from label_studio_host import GUIDE, MARKS, LabelStudio, Service, make_project

pytestmark = MARKS


def test_one_click_per_object_with_keys_and_auto_accept_as_the_guide_says(
    label_studio: LabelStudio, backend: Service, drive: Any
) -> None:
    config, _ = re.findall(r"```xml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exchanges, regions = drive("keys", make_project(label_studio, backend, config, "shapes.png"))
    assert [[one["type"] for one in exchange["sent"]] for exchange in exchanges] == [["keypointlabels"]] * 2
    assert [region["value"]["brushlabels"] for region in regions] == [["Cell"], ["Cell"]]


@pytest.mark.parametrize(
    ("kind", "is_sent"),
    [("Rectangle", True), ("Brush", False), ("Bitmask", False), ("Polygon", False), ("Ellipse", False)],
)
def test_which_smart_tools_ask_a_backend(
    kind: str, is_sent: bool, label_studio: LabelStudio, backend: Service, drive: Any
) -> None:
    config = f"""<View>
  <{kind}Labels name="drawn" toName="image" smart="true"><Label value="Cell"/></{kind}Labels>
  <Image name="image" value="$image"/>
  <VectorLabels name="mask" toName="image"><Label value="Cell"/></VectorLabels></View>"""
    exchanges, regions = drive("smart", make_project(label_studio, backend, config, "shapes.png"))
    *sent, _ = exchanges
    assert bool(sent) == is_sent
    assert {region["type"] for one in sent for region in one["sent"]} <= {f"{kind.lower()}labels"}
    assert regions or sent
