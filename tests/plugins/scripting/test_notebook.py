"""The pages of docs/python.md in a real notebook kernel, with the pictures that it shows."""

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

PAGE = Path(__file__).parents[3] / "docs" / "python.md"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:Proactor")
def test_the_guide_runs_in_a_notebook(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    cells = [nbformat.v4.new_code_cell(snippet) for snippet in snippets]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    html = next(data["text/html"] for data in shown if "<Session" in data["text/plain"])
    pictures = [data["image/png"] for data in shown if "image/png" in data]
    pictures += re.findall(r"base64,([\w+/=]+)", html)
    assert len(pictures) == 2, "a mask, and the session with its objects"
    for number, picture in enumerate(pictures):
        image = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert image.size == (256, 256)
        assert len(image.getcolors(2**16) or ()) > 100, "cells, and objects in color"
        image.save(tmp_path / f"{number}.png")
    told = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "tracking: 100%" in told, "a notebook is looked at, though it is no terminal"
