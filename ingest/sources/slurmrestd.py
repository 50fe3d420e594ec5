"""Usage from slurmrestd: asks which versions it speaks, takes the newest both know, and believes no bare 200.

The token goes into a header and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from engine import slurm_json
from engine.errors import BatchRefused
from engine.ports import Progress
from engine.usage import UsageBatch
from ingest.slurm import Material, json_batch

NEWEST, OLDEST = 46, 38
JOBS_PATH = re.compile(r"/slurmdb/v0\.0\.(\d+)/jobs/?")
EARLIEST = 100_000_000          # 1973: smaller numbers are not read as times
CONNECT_SECONDS, ANSWER_SECONDS = 5, 300
# Setting one flag turns the others off, so all are always sent. Steps are wanted: a job's CPU time is theirs.
FLAGS_SINCE = 40                # earlier versions refuse them, and answer as wanted without
FLAGS = {"show_duplicates": "true", "disable_truncate_usage_time": "true", "skip_steps": "false"}


@dataclass(frozen=True, slots=True)
class SlurmrestdSource:
    """One slurmrestd at `url` (http or https), asked as `user` with a JWT."""

    url: str
    token: SecretStr | None = None
    user: str = ""
    cluster: str = ""
    name: str = "slurmrestd"
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    @property
    def origin(self) -> str:
        """The address without what a URL may hide in it."""
        return self.url.partition("://")[0] + "://" + self.url.partition("://")[2].rpartition("@")[2].partition("?")[0].rstrip("/")

    def read(self, window: tuple[int, int] | None, progress: Progress) -> UsageBatch:
        """Every job that was active in the window, steps and earlier runs included."""
        base = self._base()
        version, flags = self._version(base)
        address = f"{base}/slurmdb/v0.0.{version}/jobs/"
        document = slurm_json.document(self._get(address, {**_span(window), **flags}), f"slurmrestd at {base}")
        progress(0.5)
        return json_batch(document, Material(_no_stream, self.name, base, f"slurmrestd at {base}", self.cluster), progress)

    def _base(self) -> str:
        try:
            parts = urlsplit(self.url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise BatchRefused(f"The address of slurmrestd cannot be read: {error}.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BatchRefused("The address of slurmrestd must begin with http:// or https:// and name a host.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"

    def _version(self, base: str) -> tuple[int, dict[str, str]]:
        """The newest version both sides know and the flags it takes: as it lists them, else by asking one after the other."""
        listed = self._listed(base)
        for version in range(NEWEST, OLDEST - 1, -1):
            if version in listed:
                return version, {flag: value for flag, value in FLAGS.items()
                                 if version >= FLAGS_SINCE or flag in listed[version]}
            if not listed and self._ask(f"{base}/slurmdb/v0.0.{version}/diag/", {}).status_code != 404:
                return version, FLAGS if version >= FLAGS_SINCE else {"skip_steps": "false"}
        spoken = ", ".join(f"v0.0.{version}" for version in sorted(listed)) or "no accounting at all"
        raise BatchRefused(f"slurmrestd at {base} speaks {spoken}; v0.0.{OLDEST} to v0.0.{NEWEST} are known here.")

    def _listed(self, base: str) -> dict[int, set[str]]:
        """Versions of its accounting answers, each with the parameters it takes; empty when it does not say."""
        answer = self._ask(f"{base}/openapi/v3", {})
        try:
            paths = answer.json()["paths"] if answer.ok else {}
            return {int(found[1]): {one.get("name", "") for one in methods["get"].get("parameters", [])}
                    for path, methods in paths.items() if (found := JOBS_PATH.fullmatch(path))}
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}

    def _get(self, address: str, query: dict[str, str]) -> str:
        answer = self._ask(address, query)
        if answer.status_code != 200:
            raise BatchRefused(f"slurmrestd at {address} answered {answer.status_code}: {_words(answer)}")
        return answer.text

    def _ask(self, address: str, query: dict[str, str]) -> requests.Response:
        headers = {"Accept": "application/json"}
        if self.token is not None:
            headers["X-SLURM-USER-TOKEN"] = self.token.get_secret_value()
        if self.user:
            headers["X-SLURM-USER-NAME"] = self.user
        try:
            answer = self._session.get(address, params=query, headers=headers, timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                                       allow_redirects=False)
        except requests.Timeout:
            raise BatchRefused(f"slurmrestd at {address} gave no answer in time.") from None
        except requests.RequestException as error:
            raise BatchRefused(f"slurmrestd at {address} cannot be reached ({type(error).__name__}).") from None
        if answer.status_code == 401:
            raise BatchRefused(f"slurmrestd at {address} wants a token it accepts (401): set COREHOURS_SLURMRESTD_TOKEN.")
        answer.encoding = "utf-8"
        return answer


def _span(window: tuple[int, int] | None) -> dict[str, str]:
    """`uts…` is the one form of a time that every version reads."""
    if window is None:
        return {"start_time": f"uts{EARLIEST}"}
    return {"start_time": f"uts{max(window[0], EARLIEST)}", "end_time": f"uts{window[1]}"}


def _words(answer: requests.Response) -> str:
    """What an error answer says, in one line."""
    try:
        errors = answer.json()["errors"]
        return str(errors[0].get("description") or errors[0].get("error"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return " ".join(answer.text.split())[:200]


def _no_stream() -> None:
    raise AssertionError("an answer of slurmrestd is not read as a stream")
