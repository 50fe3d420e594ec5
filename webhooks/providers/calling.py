"""Calling a provider over HTTP: one time limit for a whole answer, and for every way it can go wrong what is known of it.

A call that never left did nothing. One that left and was not answered perhaps did: only a call without effect may be made
again as if nothing had been. Nothing here knows what any provider's answer means.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from engine.payments import BadEvent, Outcome, ProviderTrouble
from webhooks.providers.values import read

MOST_ANSWER_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
_LOST = (408, 409, 425)                     # answers that leave open whether an earlier call is still at work


class Line(requests.Session):
    """A session whose answers are read whole, within `seconds` in all, and that follows no redirect."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.trust_env = False              # no proxies or .netrc of whoever started this process

    def request(self, method: str, url: str, **more: Any) -> requests.Response:  # type: ignore[override]
        """As `requests` does, with our limits."""
        end = time.monotonic() + self.seconds
        more |= {"stream": True, "allow_redirects": False, "timeout": self.seconds}
        answer = super().request(method, url, **more)
        answer._content = _whole(answer, end)
        answer._content_consumed = True  # type: ignore[attr-defined]
        return answer


def _whole(answer: requests.Response, end: float) -> bytes:
    found = bytearray()
    with answer:
        try:
            while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=True):
                found += chunk
                if len(found) > MOST_ANSWER_BYTES or time.monotonic() > end:
                    raise requests.Timeout(f"the answer did not end in time and within {MOST_ANSWER_BYTES} bytes")
        except HTTPError as error:          # urllib3's: cut off, silent, or not in the encoding it names
            raise requests.ConnectionError(str(error)) from error
    return bytes(found)


class Api:
    """One provider's JSON API under `base`, with the headers that say who asks."""

    def __init__(self, name: str, base: str, headers: Mapping[str, str], seconds: float) -> None:
        self.name, self.base, self.headers, self.seconds = name, base, dict(headers), seconds

    def get(self, path: str, **query: str | int) -> dict[str, object]:
        """What is there. Asked twice where the first try did not reach it."""
        try:
            return self._ask("GET", path, effect=False, params=query)
        except ProviderTrouble as trouble:
            if trouble.outcome is not Outcome.NOT_DONE or trouble.retry_after_seconds is not None:
                raise
            return self._ask("GET", path, effect=False, params=query)

    def post(self, path: str, **body: object) -> dict[str, object]:
        """Have something done, once: this never asks twice."""
        return self._ask("POST", path, effect=True, data=json.dumps(body))

    def _ask(self, method: str, path: str, effect: bool, **more: Any) -> dict[str, object]:
        with Line(self.seconds) as line:
            try:
                answer = line.request(method, f"{self.base}{path}", headers=self.headers, **more)
            except requests.RequestException as error:
                raise unanswered(self.name, error, effect) from error
        if answer.status_code >= 300:
            raise refused(self.name, answer.status_code, _words(answer.content), answer.headers.get("retry-after"), effect)
        with reading(self.name, effect):
            return read(answer.content)


def unanswered(name: str, error: BaseException | None, effect: bool) -> ProviderTrouble:
    """A call that got no whole answer."""
    reason = error.args[0] if error is not None and error.args else None
    cause = reason.reason if isinstance(reason, MaxRetryError) else reason
    if isinstance(cause, NewConnectionError | ConnectTimeoutError):
        return ProviderTrouble(f"{name} cannot be reached.", Outcome.NOT_DONE)
    what = "did not answer in time" if isinstance(error, requests.Timeout) else "broke off"
    return ProviderTrouble(f"{name} {what}.", Outcome.UNKNOWN if effect else Outcome.NOT_DONE)


def refused(name: str, status: int, words: str, retry_after: str | None, effect: bool) -> ProviderTrouble:
    """A call that was answered with something else than yes."""
    if status == 429:
        wait = float(retry_after) if retry_after and retry_after.isdigit() else None
        return ProviderTrouble(f"{name} is asked too often.", Outcome.NOT_DONE, wait)
    if status in (401, 403):                # mended by whoever runs this site: then asking again helps
        return ProviderTrouble(f"{name} does not take our key: {words}", Outcome.NOT_DONE)
    if 300 <= status < 400:
        return ProviderTrouble(f"{name} answers {status}: its address in the settings is not right.", Outcome.NOT_DONE)
    if status >= 500 or status in _LOST:
        return ProviderTrouble(f"{name} answers {status}: {words}", Outcome.UNKNOWN if effect else Outcome.NOT_DONE)
    return ProviderTrouble(f"{name} says no: {words}", Outcome.REFUSED)


@contextmanager
def reading(name: str, effect: bool) -> Iterator[None]:
    """An answer that cannot be read says as little as none."""
    try:
        yield
    except BadEvent as error:
        outcome = Outcome.UNKNOWN if effect else Outcome.NOT_DONE
        raise ProviderTrouble(f"The answer of {name} cannot be read. {error.detail}", outcome) from error


def _words(body: bytes) -> str:
    """The sentence in an error's body."""
    try:
        told = read(body)
    except BadEvent:
        return "without a reason."
    return "".join(c for c in str(told.get("message") or told.get("error") or "without a reason.") if c.isprintable())[:200]
