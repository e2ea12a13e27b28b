"""Images in cloud storage, which a real Label Studio opens for us: S3 on this machine (moto)."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from label_studio_host import MARKS, MEDIA, VENV, LabelStudio, Workspace, click, free_port

pytestmark = MARKS
CONFIG = """<View><Image name="image" value="$image"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Ball"/></KeyPointLabels>
  <BrushLabels name="brush" toName="image"><Label value="Ball"/></BrushLabels>
  <Choices name="quality" toName="image" perRegion="true"><Choice value="good"/></Choices></View>"""


@pytest.fixture
def storage(label_studio: LabelStudio, tmp_path: Path) -> Iterator[str]:
    """A bucket ``cells`` with one image, at an address of this machine."""
    port = free_port()
    command = [str(VENV / "storage" / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "NO_PROXY": "*"})
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                put(f"{url}/cells")
                break
            except HTTPError:
                raise
            except OSError:
                time.sleep(0.2)
        put(f"{url}/cells/shapes.png", (MEDIA / "shapes.png").read_bytes())
        yield url
    finally:
        process.terminate()
        process.wait(60)


def put(url: str, content: bytes = b"") -> None:
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request",
        "Content-Type": "image/png",
    }
    urlopen(Request(url, content, headers, method="PUT"), timeout=60).close()


@pytest.mark.parametrize("presign", [True, False])
def test_a_click_on_an_image_in_cloud_storage(
    presign: bool, label_studio: LabelStudio, workspaces: Callable[[], Workspace], storage: str
) -> None:
    workspace = workspaces()
    workspace.set(ALLOWED_HOSTS=storage if presign else "")
    backend = workspace.serve()
    made = {"title": f"In the cloud, {presign}", "label_config": CONFIG}
    project = label_studio.api("POST", "/api/projects", made)["id"]
    connected = {"url": backend.url, "project": project, "is_interactive": True, "title": "SAM 2"}
    added = label_studio.api("POST", "/api/ml", connected)
    assert added["state"] == "CO", added
    bucket = {
        "project": project,
        "title": "cells",
        "bucket": "cells",
        "s3_endpoint": storage,
        "region_name": "us-east-1",
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "use_blob_urls": True,
        "presign": presign,
        "regex_filter": ".*png",
    }
    held = label_studio.api("POST", "/api/storages/s3", bucket)["id"]
    label_studio.api("POST", f"/api/storages/s3/{held}/sync", {})
    while not (tasks := label_studio.api("GET", f"/api/tasks?project={project}")["tasks"]):
        time.sleep(0.5)
    answer = label_studio.interactive_annotating(added["id"], tasks[0]["id"], click(160, 180))
    (region,) = answer["data"]["result"]
    assert region["type"] == "brushlabels"
    asked = {"id": "region", "from_name": "quality", "to_name": "image", "type": "choices"}
    choice = {**asked, "value": {"choices": ["good"]}}  # of another region, sent along
    answer = label_studio.interactive_annotating(added["id"], tasks[0]["id"], click(160, 180), choice)
    assert [result["type"] for result in answer["data"]["result"]] == ["brushlabels", "choices"]
    assert "X-Amz" not in backend.log.read_text()
