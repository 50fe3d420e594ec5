"""Identifiers that say what they name: `rcpt_…`, `pay_…`, `TXN_…`; sortable by the time they were made."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _base32(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


def new_id(prefix: str, now_ms: int) -> str:
    """`prefix_` and 26 letters: 48 bits of `now_ms` (Unix milliseconds), then 80 random bits."""
    return f"{prefix}_{_base32(now_ms, 10)}{_base32(secrets.randbits(80), 16)}"


def payment_reference() -> str:
    """`TXN_` and 16 letters (80 random bits): short enough for a bank statement, too long to guess."""
    return f"TXN_{_base32(secrets.randbits(80), 16)}"
