"""Downloads from a real server on this machine: resumed, checked, and a sentence where they fail."""

import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from process_usage import full_disk
from safetensors.torch import save_file

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.downloads import add, download, fetch
from sam2_engine.weights.huggingface import to_huggingface
from sam2_engine.weights.loading import load_model, save_model
from sam2_engine.weights.locations import find, list_models

CONTENT = bytes(range(256)) * 10_000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves ``CONTENT`` under every path; what goes wrong is chosen by the path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        self.server.paths.append(self.path)
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if "absent" in self.path or "busy" in self.path:
            self.send_error(404 if "absent" in self.path else 503)
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        if "rangeless" in self.path:
            start = 0
        body = CONTENT[start:]
        length = 10**18 if "huge" in self.path else len(body)
        self.send_response(206 if start else 200)
        if "sizeless" not in self.path:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body[: 700_000 if "cut" in self.path else None])

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test; the user's own is never read or written."""
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path / "cache" / "checkpoints"


@pytest.mark.parametrize("kind", ["plain", "sizeless"])
def test_file_arrives_with_progress(kind: str, server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(
        f"{server.url}/{kind}",
        tmp_path / "new" / "f.pt",
        CHECKSUM,
        lambda done, total: seen.append((done, total)),
    )
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["f.pt"]
    assert seen[-1] == (len(CONTENT), len(CONTENT) if kind == "plain" else None)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_cut_connection_is_told_and_resumed_where_it_was_cut(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "f.pt"
    with pytest.raises(InputError, match=r"cut after 700 kB: run the same command again"):
        fetch(f"{server.url}/cut", target, CHECKSUM)
    assert not target.exists()
    seen: list[int] = []
    fetch(f"{server.url}/plain", target, CHECKSUM, lambda done, total: seen.append(done))
    assert server.ranges == [None, "bytes=700000-"]
    assert seen[0] > 700_000
    assert target.read_bytes() == CONTENT


def test_server_that_ignores_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "f.pt.part").write_bytes(b"x" * 1000)
    assert fetch(f"{server.url}/rangeless", tmp_path / "f.pt", CHECKSUM).read_bytes() == CONTENT


def test_part_that_was_already_whole_is_accepted(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "f.pt.part").write_bytes(CONTENT)
    assert fetch(f"{server.url}/plain", tmp_path / "f.pt", CHECKSUM).read_bytes() == CONTENT


def test_wrong_content_is_deleted(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its SHA-256 differs"):
        fetch(f"{server.url}/plain", tmp_path / "f.pt", "0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("absent", r"has no file .*/absent \(HTTP 404\): .*`sam2 models add FILE`"),
        ("busy", "answered HTTP 503 .* try again later"),
        ("huge", "no space for .*f.pt .it needs .*: free some, or set SAM2_CACHE"),
    ],
)
def test_refusals_are_told(path: str, sentence: str, server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        fetch(f"{server.url}/{path}", tmp_path / "f.pt", CHECKSUM)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_told(server: FileServer, tmp_path: Path) -> None:
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"No connection to 127\.0\.0\.1 .*: check the network"):
        fetch(f"{url}/plain", tmp_path / "f.pt", CHECKSUM)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
def test_a_disk_that_fills_is_told_and_the_download_resumed(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    for _ in range(2):  # the second time there is no space for another byte
        with full_disk(1_500_000), pytest.raises(InputError, match=rf"There is no space for {target} \("):
            fetch(f"{server.url}/a.bin", target, CHECKSUM)
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.bin.part"]
    assert fetch(f"{server.url}/a.bin", target, CHECKSUM).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1500000-", "bytes=1500000-"]


def test_a_folder_in_the_place_of_the_file_is_told(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(InputError, match=r"a\.bin could not be written \(Is a directory\)"):
        fetch(f"{server.url}/a.bin", tmp_path / "a.bin", CHECKSUM)


def test_unwritable_folder_is_told(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"could not be written .*: check the folder, or set SAM2_CACHE"):
        fetch(f"{server.url}/plain", tmp_path / "file" / "f.pt", CHECKSUM)


@pytest.mark.parametrize(
    ("name", "folder"), [("sam2.1_hiera_large", "092824"), ("sam2_hiera_tiny", "072824")]
)
def test_official_addresses(
    name: str, folder: str, server: FileServer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", f"{server.url}/mirror/")
    with pytest.raises(InputError, match="SHA-256 differs"):
        download(name)
    assert server.paths == [f"/mirror/{folder}/{name}.pt"]
    assert find(name) is None
    assert list(cache.iterdir()) == []


def test_present_model_is_not_fetched_again(
    cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", server.url)
    cache.mkdir(parents=True)
    (cache / "sam2.1_hiera_tiny.pt").write_bytes(b"there")
    assert download("sam2.1_hiera_tiny") == cache / "sam2.1_hiera_tiny.pt"
    assert server.paths == []


def test_unknown_name_is_told() -> None:
    with pytest.raises(InputError, match=r"no model 'sam9' to download: give one of nano, sam2"):
        download("sam9")


def test_added_model_keeps_its_name_and_is_listed(tmp_path: Path, cache: Path) -> None:
    save_model(Sam2(VARIANTS["nano"]), tmp_path / "cells.safetensors", dtype=torch.float16)
    assert add(tmp_path / "cells.safetensors") == cache / "cells.safetensors" == find("cells")
    assert load_model("cells", device="cpu").config == VARIANTS["nano"]
    listed = {status.name: status for status in list_models()}
    assert list(listed)[-1] == "cells"
    assert listed["cells"].available
    assert listed["cells"].origin == "cache"
    assert not listed["sam2.1_hiera_large"].available
    assert listed["sam2.1_hiera_large"].megabytes == 898
    assert [path.name for path in cache.iterdir()] == ["cells.safetensors"]


def test_added_transformers_file_becomes_what_it_holds(tmp_path: Path, cache: Path) -> None:
    with torch.device("meta"):
        names = Sam2(VARIANTS["sam2_hiera_tiny"]).state_dict()
    weights = {name: torch.zeros(tensor.shape, dtype=torch.uint8) for name, tensor in names.items()}
    converted = {name: tensor.clone() for name, tensor in to_huggingface(weights).items()}
    save_file(converted, tmp_path / "model.safetensors")
    assert add(tmp_path / "model.safetensors") == cache / "sam2_hiera_tiny.safetensors"


def test_a_trained_model_needs_a_name_and_shadows_no_official_one(tmp_path: Path, cache: Path) -> None:
    """``sam2 train`` writes ``model.safetensors``, whose content says only what it was made from."""
    file = tmp_path / "model.safetensors"
    save_model(Sam2(VARIANTS["nano"]), file, dtype=torch.float16)
    with pytest.raises(InputError, match=r"Say what .*model.safetensors is called .* --name cells"):
        add(file)
    for name, sentence in (
        ("nano", "bears the name of a model that it is not"),
        ("sam2.1_hiera_tiny", "bears the name of a model that it is not"),
        ("cells@320", "cannot be called 'cells@320'"),
        ("../cells", "cannot be called"),
        ("", "Say what"),
    ):
        with pytest.raises(InputError, match=sentence):
            add(file, name)
    assert not cache.exists()
    assert add(file, "cells") == cache / "cells.safetensors" == find("cells")


def test_relative_without_a_known_checksum_is_added_by_its_name_alone(tmp_path: Path, cache: Path) -> None:
    with torch.device("meta"):
        names = Sam2(VARIANTS["efficienttam_ti_1"]).state_dict()
    weights = {name: torch.zeros(tensor.shape, dtype=torch.uint8) for name, tensor in names.items()}
    torch.save({"model": weights}, tmp_path / "efficienttam_ti_1.pt")
    assert add(tmp_path / "efficienttam_ti_1.pt") == cache / "efficienttam_ti_1.pt"
    (tmp_path / "efficienttam_ti_1.pt").rename(tmp_path / "efficienttam_ti.pt")
    with pytest.raises(InputError, match="bears the name of a model that it is not, efficienttam_ti:"):
        add(tmp_path / "efficienttam_ti.pt")


def test_bad_files_are_not_added(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "broken.pt").write_bytes(b"hello")
    with torch.device("meta"):
        names = Sam2(VARIANTS["sam2_hiera_tiny"]).state_dict()
    impostor = {name: torch.zeros(tensor.shape, dtype=torch.uint8) for name, tensor in names.items()}
    torch.save({"model": impostor}, tmp_path / "sam2_hiera_tiny.pt")
    for file, sentence in (
        ("absent.pt", "There is no file"),
        ("notes.txt", "is no checkpoint"),
        ("broken.pt", "is damaged or incomplete"),
        ("sam2_hiera_tiny.pt", "bears the name of a model that it is not"),
    ):
        with pytest.raises(InputError, match=sentence):
            add(tmp_path / file)
    assert not cache.exists()


@pytest.mark.parametrize("files", [["model.safetensors"], ["model.safetensors", "sam2.1_hiera_base_plus.pt"]])
def test_huggingface_cache_is_found(files: list[str], tmp_path: Path) -> None:
    snapshot = tmp_path / "hf/hub/models--facebook--sam2.1-hiera-base-plus/snapshots/0123abc"
    snapshot.mkdir(parents=True)
    for file in files:
        (snapshot / file).write_bytes(b"weights")
    assert find("sam2.1_hiera_base_plus") == snapshot / files[-1]
    status = next(s for s in list_models() if s.name == "sam2.1_hiera_base_plus")
    assert status.origin == "hugging face"


def test_names_do_not_lead_out_of_the_cache(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache.parent / "outside.pt").write_bytes(b"")
    assert find("../outside") is None
