"""A small Hugging Face hub on loopback: what its client needs to make, fill and read repositories."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_thisIsNoRealTokenOfAnybody"


@dataclass
class FakeHub:
    """Repositories by name, each a list of commits, of which each is all files by name."""

    repositories: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, name: str, files: dict[str, bytes]) -> None:
        self.repositories.setdefault(name, []).append(files)

    def commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.repositories.get(name, [])
        shas = [_sha(name, number) for number in range(len(commits))]
        if revision == "main" and commits:
            return shas[-1], commits[-1]
        return (revision, commits[shas.index(revision)]) if revision in shas else None


def _sha(name: str, number: int) -> str:
    return hashlib.sha1(f"{name} {number}".encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._answer({"error": code}, status, X_Error_Code=code)

    @property
    def _may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(self.path)
        if asked := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/([^?]+))?(?:\?.*)?", self.path):
            self._info(asked[1], asked[2] or "main")
        elif asked := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+?)(?:\?.*)?", self.path):
            self._file(*asked.groups())
        else:
            self._refuse(404, "EntryNotFound")

    def _info(self, name: str, revision: str) -> None:
        found = self.hub.commit(name, revision)
        if name == "lab/gated":
            self._refuse(403, "GatedRepo")
        elif found is None:
            self._refuse(404, "RevisionNotFound" if name in self.hub.repositories else "RepoNotFound")
        else:
            sha, files = found
            license_line = re.search(rb"^license: (\S+)$", files.get("README.md", b""), re.MULTILINE)
            tags = [f"license:{license_line[1].decode()}"] if license_line else []
            siblings = [{"rfilename": one} for one in files]
            self._answer({"id": name, "sha": sha, "siblings": siblings, "tags": tags, "private": False})

    def _file(self, name: str, revision: str, file: str) -> None:
        found = self.hub.commit(name, revision)
        if found is None or file not in found[1]:
            self._refuse(404, "EntryNotFound")
            return
        content = found[1][file]
        tag = hashlib.sha256(content).hexdigest()
        self._answer(content, ETag=f'"{tag}"', X_Repo_Commit=found[0])

    def do_POST(self) -> None:
        self.hub.asked.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._may_write:
            self._refuse(401, "Unauthorized")
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.hub.repositories.setdefault(name, [{}])
            self._answer({"url": f"{self.hub.url}/{name}", "id": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/main", self.path):
            files = [one["path"] for one in json.loads(body)["files"]]
            modes = [
                {
                    "path": one,
                    "uploadMode": "lfs" if "." in one and one.endswith("safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in files
            ]
            self._answer({"files": modes})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}
            self._answer({"transfer": "basic", "objects": objects})
        elif asked := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            self._commit(asked[1], body)
        else:
            self._refuse(404, "EntryNotFound")

    def _commit(self, name: str, body: bytes) -> None:
        files = dict(self.hub.repositories[name][-1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        self.hub.add(name, files)
        sha = _sha(name, len(self.hub.repositories[name]) - 1)
        self._answer({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.stored[self.path.rpartition("/")[2]] = content
        self._answer(b"")


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve an empty hub; ``HF_ENDPOINT`` should be its ``url``."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
