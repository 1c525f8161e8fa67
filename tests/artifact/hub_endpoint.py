"""An endpoint on loopback with the few calls that huggingface_hub makes for data sets: upload, look, download."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writer", "hf_reader"
PULL_REQUEST = "refs/pr/1"
REPO = r"/api/datasets/(?P<repo>[^/]+/[^/]+)"


class Hub:
    """Data sets in memory: their privacy, branches, and the files of each commit."""

    def __init__(self) -> None:
        self.private: dict[str, bool] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.commits: dict[str, dict[str, bytes]] = {"0" * 40: {}}
        self.agents: set[str] = set()
        self.url = ""

    def commit(self, repo: str, branch: str, files: dict[str, bytes]) -> str:
        """Add files to those of a branch and return the commit."""
        every = {**self.commits[self.branches[repo][branch]], **files}
        number = hashlib.sha1(repr(sorted(every.items())).encode()).hexdigest()
        self.commits[number] = every
        self.branches[repo][branch] = number
        return number

    def files(self, repo: str, revision: str) -> tuple[str | None, dict[str, bytes]]:
        """Return a commit and its files; None where there is no such revision."""
        number = self.branches[repo].get(revision, revision)
        return (number, self.commits[number]) if number in self.commits else (None, {})


@contextmanager
def running() -> Iterator[Hub]:
    """Serve an empty hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.agents.add(self.headers.get("User-Agent", ""))
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = urlsplit(self.path)
        self.query, path = place.query, unquote(place.path)
        self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        routes = {
            "/api/validate-yaml": lambda: self._json({"errors": [], "warnings": []}),
            "/api/repos/create": lambda: self._create(json.loads(content)),
            rf"{REPO}/branch/(?P<revision>.+)": lambda **at: self._branch(**at),
            rf"{REPO}/discussions(/1)?": lambda **at: self._discussion(**at),
            rf"{REPO}/preupload/(?P<revision>.+)": lambda **at: self._preupload(json.loads(content), **at),
            rf"{REPO}/commit/(?P<revision>.+)": lambda **at: self._commit(content, **at),
            rf"{REPO}(/revision/(?P<revision>.+))?": lambda **at: self._info(**at),
            rf"{REPO}/tree/(?P<revision>[^/]+)": lambda **at: self._tree(**at),
            r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)": lambda **at: self._file(**at),
        }
        for pattern, answer in routes.items():
            if found := re.fullmatch(pattern, path):
                at = found.groupdict()
                if "repo" in at and not self._may_see(at["repo"]):
                    status = 404 if self.token in (WRITER, READER) else 401
                    return self._json({"error": "Repository not found"}, status, {"X-Error-Code": "RepoNotFound"})
                writes = self.command == "POST" and pattern != "/api/validate-yaml"
                if writes and self.token != WRITER:
                    status = 403 if self.token == READER else 401
                    return self._json({"error": "Invalid credentials in Authorization header"}, status)
                return answer(**at)
        return self._json({"error": f"{self.command} {path}"}, 500)

    def _may_see(self, repo: str) -> bool:
        return repo in self.hub.private and (not self.hub.private[repo] or self.token in (WRITER, READER))

    def _json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        if status >= 400:
            self.send_header("X-Error-Message", json.loads(content)["error"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _create(self, wanted: dict) -> None:
        repo = f"{wanted['organization']}/{wanted['name']}"
        if repo in self.hub.private:
            place = {"url": f"{self.hub.url}/datasets/{repo}"}
            return self._json({"error": "You already created this dataset repo", **place}, 409)
        self.hub.private[repo] = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.hub.branches[repo] = {"main": "0" * 40}
        return self._json({"url": f"{self.hub.url}/datasets/{repo}"})

    def _branch(self, repo: str, revision: str) -> None:
        branches = self.hub.branches[repo]
        if revision in branches:
            return self._json({"error": "Reference already exists"}, 409)
        branches[revision] = branches["main"]
        return self._json({})

    def _discussion(self, repo: str) -> None:
        """Open the only pull request of a data set, or describe it."""
        self.hub.branches[repo].setdefault(PULL_REQUEST, self.hub.branches[repo]["main"])
        about = {"num": 1, "title": "", "status": "draft", "isPullRequest": True, "events": []}
        about |= {"createdAt": "2024-01-01T00:00:00.000Z", "repo": {"name": repo, "type": "dataset"}}
        self._json({**about, "changes": {"base": "refs/heads/main"}, "filesWithConflicts": []})

    def _preupload(self, wanted: dict, repo: str, revision: str) -> None:
        files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in wanted["files"]]
        self._json({"files": files})

    def _commit(self, content: bytes, repo: str, revision: str) -> None:
        lines = [json.loads(line) for line in content.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        if "create_pr=1" in self.query:
            self.hub.branches[repo][PULL_REQUEST] = self.hub.branches[repo][revision]
            revision = PULL_REQUEST
        number = self.hub.commit(repo, revision, files)
        place = f"{self.hub.url}/datasets/{repo}"
        asked = {"pullRequestUrl": f"{place}/discussions/1"} if revision == PULL_REQUEST else {}
        self._json({"success": True, "commitOid": number, "commitUrl": f"{place}/commit/{number}", **asked})

    def _info(self, repo: str, revision: str | None) -> None:
        number, files = self.hub.files(repo, revision or "main")
        if number is None:
            return self._json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        return self._json({"id": repo, "sha": number, "siblings": [{"rfilename": name} for name in files]})

    def _tree(self, repo: str, revision: str) -> None:
        _, files = self.hub.files(repo, revision)
        described = [
            {"type": "file", "path": name, "size": len(files[name]), "oid": _oid(files[name])} for name in files
        ]
        self._json(described)

    def _file(self, repo: str, revision: str, name: str) -> None:
        number, files = self.hub.files(repo, revision)
        if name not in files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        return self._answer(files[name], 200, {"X-Repo-Commit": str(number), "ETag": f'"{_oid(files[name])}"'})


def _oid(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
