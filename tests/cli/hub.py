"""A stand-in for the hub on the loopback: what huggingface_hub asks to make, fill and read a repository of a model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """Repositories by name: commits by id and branch, files by name."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.private: set[str] = set()
        self.requests: list[str] = []
        self.url = ""

    def make(self, name: str, private: bool) -> None:
        self.commits.setdefault(name, {})
        self.branches.setdefault(name, {})
        self.commit(name, {}) if not self.branches[name] else None
        if private:
            self.private.add(name)

    def commit(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Add files to a branch; return the commit."""
        before = self.commits[name].get(self.branches[name].get(branch, ""), {})
        whole = {**before, **files}
        digest = hashlib.sha1(repr([(key, hashlib.sha1(value).hexdigest()) for key, value in whole.items()]).encode())
        self.commits[name][digest.hexdigest()] = whole
        self.branches[name][branch] = digest.hexdigest()
        return digest.hexdigest()

    def resolved(self, name: str, revision: str) -> str | None:
        commit = self.branches[name].get(revision, revision)
        return commit if commit in self.commits[name] else None


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(f"POST {self.path}")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.make(name, bool(asked.get("private")) or asked.get("visibility") == "private")
            return self._json({"url": f"{self.hub.url}/{name}", "id": name})
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", self.path):
            files = [{"path": entry["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for entry in json.loads(body)["files"]]  # fmt: skip
            return self._json({"files": files})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            lines = [json.loads(line) for line in body.splitlines()]
            files_ = {line["value"]["path"]: base64.b64decode(line["value"]["content"])
                      for line in lines if line["key"] == "file"}  # fmt: skip
            commit = self.hub.commit(match[1], files_)
            return self._json({"commitUrl": f"{self.hub.url}/{match[1]}/commit/{commit}", "commitOid": commit,
                               "pullRequestUrl": None})  # fmt: skip
        return self._json({"error": "not here"}, 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/(.+))?", path)
        if match is not None:
            return self._info(match[1], (match[2] or "main").replace("%2F", "/"))
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if match is None or self._hidden(match[1]):
            return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        commit = self.hub.resolved(match[1], match[2])
        content = self.hub.commits[match[1]].get(commit or "", {}).get(match[3])
        if content is None:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha1(content).hexdigest()
        return self._send(
            content, "application/octet-stream", 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit or ""}
        )

    def _info(self, name: str, revision: str) -> None:
        if self._hidden(name):
            return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        commit = self.hub.resolved(name, revision)
        if commit is None:
            return self._json({"error": "Invalid rev"}, 404, {"X-Error-Code": "RevisionNotFound"})
        siblings = [{"rfilename": key, "size": len(value)} for key, value in self.hub.commits[name][commit].items()]
        return self._json({"_id": "1", "id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": [],
                           "private": name in self.hub.private, "downloads": 0, "likes": 0})  # fmt: skip

    def _hidden(self, name: str) -> bool:
        unknown = name not in self.hub.commits
        return unknown or (name in self.hub.private and self.headers.get("Authorization") != "Bearer secret")

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), "application/json", status, headers or {})

    def _send(self, body: bytes, kind: str, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers while the block runs."""
    hub = Hub()
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
