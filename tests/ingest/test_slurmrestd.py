"""The slurmrestd source against a server that replays what real ones answered: versions, errors behind a 200, the token."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from engine.errors import BatchRefused
from ingest.sources.slurmrestd import SlurmrestdSource
from tests.ingest.reading import SAMPLES, sample

TOKEN = "eyJ-very-secret"
WINDOW = (1795229299, 1795240000)
Answer = Callable[[str, dict[str, list[str]]], tuple[int, str]]


class Replay:
    """A slurmrestd that speaks `versions` and answers a question for jobs with `jobs` (status, body)."""

    def __init__(self, versions: tuple[int, ...], jobs: tuple[int, str], lists: bool = True) -> None:
        self.versions, self.jobs, self.lists = versions, jobs, lists
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.tokens: set[str | None] = set()

    def answer(self, address: str, token: str | None) -> tuple[int, str]:
        parts = urlsplit(address)
        self.asked.append((parts.path, parse_qs(parts.query)))
        self.tokens.add(token)
        if token is None:
            return 401, "Authentication failure"
        if parts.path == "/openapi/v3":
            return (200, self._openapi()) if self.lists else (404, "")
        if not any(f"/v0.0.{version}/" in parts.path for version in self.versions):
            return 404, "Unable to find requested URL endpoint."
        return self.jobs if "/jobs/" in parts.path else (200, "{}")

    def _openapi(self) -> str:
        flags = ["start_time", "end_time", "skip_steps"]
        return json.dumps({"paths": {f"/slurmdb/v0.0.{version}/jobs/": {"get": {"parameters": [
            {"name": flag} for flag in flags]}} for version in self.versions}})


@pytest.fixture
def serve() -> Iterator[Callable[[Replay], str]]:
    """Start a replay on a free port; its address."""
    running: list[ThreadingHTTPServer] = []

    def start(replay: Replay) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = replay.answer(self.path, self.headers["X-SLURM-USER-TOKEN"])
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def captured(name: str) -> tuple[int, str]:
    """Status and body of a captured answer."""
    text = (SAMPLES / name).read_bytes().decode().replace("\r\n", "\n")
    if not text.startswith("HTTP/"):
        return 200, text
    head, _, body = text.partition("\n\n")
    return int(head.split()[1]), body


def source(address: str) -> SlurmrestdSource:
    return SlurmrestdSource(address, SecretStr(TOKEN), "root")


def test_26_05_tells_what_sacct_tells(serve: Callable[[Replay], str]) -> None:
    replay = Replay((42, 43, 44, 45), captured("slurm-26.05/rest-jobs-starttime.http"))
    batch = source(serve(replay)).read(WINDOW, lambda _: None)
    grows = ["elapsed_seconds", "mem_used_mib_seconds"]
    assert_frame_equal(batch.usage.sort("run_key").drop(grows), sample("slurm-26.05/sacct-D-P.txt").drop(grows))
    assert batch.lines == 49
    assert replay.asked[-1] == ("/slurmdb/v0.0.45/jobs/", {
        "start_time": ["uts1795229299"], "end_time": ["uts1795240000"], "show_duplicates": ["true"],
        "disable_truncate_usage_time": ["true"], "skip_steps": ["false"]})


def test_22_05_is_not_asked_what_it_does_not_know(serve: Callable[[Replay], str]) -> None:
    """v0.0.38 refuses unknown parameters, and answers as wanted without them."""
    replay = Replay((36, 37, 38), captured("slurm-22.05/rest-jobs.json"))
    assert len(source(serve(replay)).read(WINDOW, lambda _: None).usage) == 45
    assert replay.asked[-1] == ("/slurmdb/v0.0.38/jobs/", {
        "start_time": ["uts1795229299"], "end_time": ["uts1795240000"], "skip_steps": ["false"]})


def test_one_that_does_not_list_its_versions_is_asked_one_by_one(serve: Callable[[Replay], str]) -> None:
    replay = Replay((41, 42), captured("slurm-26.05/rest-jobs-v0.0.42.http"), lists=False)
    assert len(source(serve(replay)).read(None, lambda _: None).usage) == 49
    assert [path for path, _ in replay.asked] == [
        "/openapi/v3", *(f"/slurmdb/v0.0.{version}/diag/" for version in (46, 45, 44, 43, 42)), "/slurmdb/v0.0.42/jobs/"]
    assert "show_duplicates" in replay.asked[-1][1]


@pytest.mark.parametrize("name", ["slurm-26.05/rest-job-missing.http"])
def test_nothing_found_is_no_failure(serve: Callable[[Replay], str], name: str) -> None:
    assert source(serve(Replay((45,), captured(name)))).read(WINDOW, lambda _: None).usage.is_empty()
    nothing = 200, '{"jobs": [], "errors": [{"error_number": 9003, "error": "Nothing found with query"}]}'
    assert source(serve(Replay((38,), nothing))).read(WINDOW, lambda _: None).usage.is_empty()


@pytest.mark.parametrize(("answer", "sentence"), [
    (captured("slurm-22.05/rest-badtoken.http"), "reports error 1007: Protocol authentication error."),
    (captured("slurm-26.05/rest-badtoken.http"), "answered 502: Failed to open slurmdbd connection"),
    (captured("slurm-22.05/rest-unencoded-colon.http"), "answered 400: Unable to parse query."),
    (captured("slurm-26.05/rest-unknownparam.http"), "did not understand the question: Ignoring unknown field"),
    ((200, '{"jobs": [], "errors": [{"error_number": 7000, "error": "Unable to connect to database"}]}'), "reports error 7000"),
    ((200, '{"jobs": [{"job_id": 1'), "is no complete JSON"),
    ((200, "<html>a proxy's greeting</html>"), "is no complete JSON"),
    ((200, "{}"), "is JSON without jobs"),
    ((302, ""), "answered 302"),
])
def test_http_200_is_no_verdict(serve: Callable[[Replay], str], answer: tuple[int, str], sentence: str) -> None:
    with pytest.raises(BatchRefused) as refusal:
        source(serve(Replay((45,), answer))).read(WINDOW, lambda _: None)
    assert sentence in refusal.value.detail


def test_a_version_too_new_or_too_old(serve: Callable[[Replay], str]) -> None:
    with pytest.raises(BatchRefused, match=r"speaks v0\.0\.50; v0\.0\.38 to v0\.0\.46 are known here"):
        source(serve(Replay((50,), (200, "{}")))).read(WINDOW, lambda _: None)


def test_the_token_stays_in_its_header(serve: Callable[[Replay], str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    replay = Replay((45,), (500, "Unspecified error"))
    asker = source(serve(replay))
    with pytest.raises(BatchRefused) as refusal:
        asker.read(WINDOW, lambda _: None)
    assert replay.tokens == {TOKEN}
    assert TOKEN not in f"{refusal.value} {asker} {asker.origin} {caplog.text} {replay.asked}"


def test_no_token(serve: Callable[[Replay], str]) -> None:
    with pytest.raises(BatchRefused, match="wants a token it accepts"):
        SlurmrestdSource(serve(Replay((45,), (200, "{}")))).read(WINDOW, lambda _: None)


@pytest.mark.parametrize(("address", "sentence"), [
    ("file:///etc/passwd", "must begin with http:// or https://"), ("localhost:6820", "must begin with http:// or https://"),
    ("http://", "and name a host"), ("http://127.0.0.1:99999", "cannot be read"), ("http://127.0.0.1:1", "cannot be reached"),
])
def test_addresses(address: str, sentence: str) -> None:
    with pytest.raises(BatchRefused) as refusal:
        source(address).read(WINDOW, lambda _: None)
    assert sentence in refusal.value.detail


def test_secrets_in_an_address_are_not_repeated() -> None:
    with pytest.raises(BatchRefused) as refusal:
        source("http://root:hidden@127.0.0.1:1/?token=hidden").read(WINDOW, lambda _: None)
    assert "hidden" not in f"{refusal.value} {source('http://root:hidden@127.0.0.1:1/?token=hidden').origin}"


def test_a_silent_server_is_not_waited_for(serve: Callable[[Replay], str], monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from ingest.sources import slurmrestd
    monkeypatch.setattr(slurmrestd, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(BatchRefused, match="gave no answer in time"):
            source(f"http://127.0.0.1:{silent.getsockname()[1]}").read(WINDOW, lambda _: None)


def test_a_strange_job_is_rejected_by_its_number(tmp_path: Path, serve: Callable[[Replay], str]) -> None:
    """The jobs around it are taken."""
    jobs = json.loads(captured("slurm-26.05/rest-jobs-dup-notrunc.http")[1])["jobs"][:4]
    jobs[1] = {"job_id": 2, "name": "half a job"}
    jobs[2]["time"]["elapsed"] = -7
    jobs.insert(3, {**jobs[3], "name": "half a character \ud800"})
    batch = source(serve(Replay((45,), (200, json.dumps({"jobs": jobs}))))).read(WINDOW, lambda _: None)
    assert [(one.line, one.reason) for one in batch.rejected] == [
        (2, "it is no job as Slurm writes it (KeyError: 'time')"), (3, "ElapsedRaw: '-7' is no whole number"),
        (4, "it holds half a character")]
    assert '"half a job"' in batch.rejected[0].text
    assert len(batch.usage) == 2
