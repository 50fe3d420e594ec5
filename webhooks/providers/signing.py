"""Signatures: of the `t=UNIX,v1=HEX` kind (HMAC-SHA256 over `t.body`), and what all kinds share; several secrets while rotating.

Parsing is strict and never raises anything but BadSignature: whatever stands in the header was written by a stranger.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import datetime

from engine.payments import SIGNATURE_TOLERANCE, BadSignature

MOST_SIGNATURES = 8
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def signature(secret: str, at: int, body: bytes) -> str:
    """The hex HMAC-SHA256 of `at.body`; `at` in Unix seconds."""
    return hmac.digest(secret.encode(), b"%d." % at + body, "sha256").hex()


def header(secret: str, at: int, body: bytes) -> str:
    """`t=UNIX,v1=HEX`."""
    return f"t={at},v1={signature(secret, at, body)}"


def parse_header(value: str) -> tuple[int, list[str]]:
    """The time and the v1 signatures of a header; other parts are passed over, a second time is refused."""
    times, found = [], []
    for part in value.split(",", 2 * MOST_SIGNATURES):
        name, _, text = part.strip().partition("=")
        if name == "t" and _TIME.fullmatch(text):
            times.append(int(text))
        elif name == "v1" and _HEX.fullmatch(text):
            found.append(text)
    if len(times) != 1 or not 1 <= len(found) <= MOST_SIGNATURES:
        raise BadSignature("Its header must read t=UNIX,v1=HEX.")
    return times[0], found


def verify(value: str | None, body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Refuse unless one of the header's signatures fits one of `secrets` and its time is within five minutes of `now`."""
    if not value:
        raise BadSignature("There is none.", "unsigned")
    at, given = parse_header(value)
    one_of(given, [signature(secret, at, body) for secret in secrets if secret])
    fresh(at, now)


def one_of(given: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse unless one of the signatures `given` is one of those `wanted`; every pair is compared, in constant time."""
    if not 1 <= len(given) <= MOST_SIGNATURES:
        raise BadSignature()
    fits = [hmac.compare_digest(one.encode("utf-8", "replace"), other.encode()) for one in given for other in wanted]
    if not any(fits):
        raise BadSignature()


def fresh(at: float, now: datetime) -> None:
    """Refuse what was signed more than five minutes before or after `now`; `at` in Unix seconds."""
    if abs(now.timestamp() - at) > SIGNATURE_TOLERANCE.total_seconds():
        raise BadSignature("It is fresh for 300 seconds only: it came too late, or a clock is wrong.", "stale")
