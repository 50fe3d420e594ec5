"""What a QR code for paying says: EMVCo's fields with their checksum, PromptPay (Thailand), and the EPC's transfer (Europe).

Texts from integers; a picture is made of them elsewhere. Knows no receipt, no settings, and no float: an amount is a whole
number of satang or cents. Sources: EMVCo Merchant-Presented Mode 1.1, the Thai QR Payment Standard, EPC069-12 version 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import DomainError

MOST_MINOR = 10**12 - 1                 # 9,999,999,999.99: what an EMVCo amount field holds
EPC_MOST_MINOR = 99_999_999_999         # 999,999,999.99
EPC_MOST_BYTES = 331
_TRANSFER, _BILL = "A000000677010111", "A000000677010112"
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}", re.ASCII)
_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", re.ASCII)


class BadQr(DomainError):
    """This cannot stand in a QR code for paying."""

    code = "bad_qr"


class Target(StrEnum):
    """Whom PromptPay pays."""

    PHONE = "phone"
    """A mobile number."""
    PERSON = "person"
    """A national id or a company's tax id, 13 digits."""
    WALLET = "wallet"
    """An e-wallet, 15 digits."""
    BILLER = "biller"
    """A biller, 15 digits: the only one whose payments carry a reference."""


@dataclass(frozen=True, slots=True)
class PromptPay:
    """An id that is registered with PromptPay."""

    target: Target
    digits: str


def field(tag: str, value: str) -> str:
    """One field: two digits of tag, two of length in characters, the value."""
    if not re.fullmatch(r"[0-9]{2}", tag, re.ASCII) or not 1 <= len(value) <= 99:
        raise BadQr(f"Field {tag} has {len(value)} characters: from 1 to 99 fit.")
    return f"{tag}{len(value):02d}{value}"


def fields(payload: str) -> list[tuple[str, str]]:
    """The fields of a payload or template, in order; refused when it is cut short."""
    found, at = [], 0
    while at < len(payload):
        head = payload[at:at + 4]
        if not re.fullmatch(r"[0-9]{4}", head, re.ASCII) or at + 4 + int(head[2:]) > len(payload):
            raise BadQr("Its fields do not end where it ends.")
        found.append((head[:2], payload[at + 4:at + 4 + int(head[2:])]))
        at += 4 + int(head[2:])
    return found


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, begun at 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def sealed(body: str) -> str:
    """`body` with its checksum field, which covers its own tag and length."""
    return f"{body}6304{crc16(f'{body}6304'.encode()):04X}"


def intact(payload: str) -> bool:
    """True when the checksum at the end fits what stands before it."""
    return payload[-8:-4] == "6304" and sealed(payload[:-8]) == payload


def promptpay_id(text: str) -> PromptPay:
    """`081-234-5678`, `+66 81 234 5678`, 13 digits, 15 digits, or `biller:` and 15 digits."""
    biller, digits = text.strip().startswith("biller:"), re.sub(r"[\s-]", "", text.strip().removeprefix("biller:"))
    digits = "0" + digits[3:] if digits.startswith("+66") else digits
    length = {10: Target.PHONE, 13: Target.PERSON, 15: Target.BILLER if biller else Target.WALLET}.get(len(digits))
    if not re.fullmatch(r"[0-9]+", digits, re.ASCII) or length is None or (biller and length is not Target.BILLER):
        raise BadQr(f"{text!r} is no PromptPay id: a mobile number, 13 digits of a tax id, 15 digits of an e-wallet, or "
                    "biller: and 15 digits.")
    if length is Target.PHONE and not digits.startswith("0"):
        raise BadQr(f"{text!r} is no mobile number of Thailand: one is 081-234-5678.")
    return PromptPay(length, digits)


def promptpay(payee: PromptPay, amount_minor: int | None = None, reference: str = "") -> str:
    """The payload that pays `payee`: `amount_minor` satang, or whatever the payer types when it is None.

    A biller is told `reference` (at most 20 letters and digits); the other ids carry none."""
    body = field("00", "01") + field("01", "11" if amount_minor is None else "12") + _payee(payee, reference)
    body += field("58", "TH") + field("53", "764")
    return sealed(body if amount_minor is None else body + field("54", decimal_text(amount_minor, MOST_MINOR)))


def _payee(payee: PromptPay, reference: str) -> str:
    if payee.target is Target.BILLER:
        return field("30", field("00", _BILL) + field("01", payee.digits) + field("02", biller_reference(reference)))
    tag = {Target.PHONE: "01", Target.PERSON: "02", Target.WALLET: "03"}[payee.target]
    digits = f"0066{payee.digits[1:]}" if payee.target is Target.PHONE else payee.digits
    return field("29", field("00", _TRANSFER) + field(tag, digits))


def biller_reference(reference: str) -> str:
    """What a biller's statement repeats of ours: letters and digits only, `TXN_0A` becomes `TXN0A`."""
    plain = re.sub(r"[^0-9A-Z]", "", reference.upper(), flags=re.ASCII)
    if not 1 <= len(plain) <= 20:
        raise BadQr(f"The reference {reference!r} has {len(plain)} letters and digits: from 1 to 20 fit.")
    return plain


def decimal_text(minor: int, most: int) -> str:
    """Hundredths as a plain decimal: 422 is `4.22`."""
    if isinstance(minor, bool) or not isinstance(minor, int) or not 0 < minor <= most:
        raise BadQr(f"{minor!r} is no amount between 0.01 and {most // 100}.{most % 100:02d}.")
    return f"{minor // 100}.{minor % 100:02d}"


def check_iban(text: str) -> str:
    """The IBAN without blanks; refused when its check digits do not fit."""
    iban = re.sub(r"\s", "", text).upper()
    if not _IBAN.fullmatch(iban) or int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 != 1:
        raise BadQr(f"{text!r} is no IBAN: its check digits do not fit.")
    return iban


def check_bic(text: str) -> str:
    """The BIC, which may be empty within the EEA."""
    bic = re.sub(r"\s", "", text).upper()
    if bic and not _BIC.fullmatch(bic):
        raise BadQr(f"{text!r} is no BIC.")
    return bic


def epc(name: str, iban: str, amount_minor: int, text: str, bic: str = "") -> str:
    """A SEPA credit transfer of `amount_minor` cents to `name`; `text` is its remittance information (at most 140 letters)."""
    lines = ["BCD", "002", "1", "SCT", check_bic(bic), _line("name", name, 70), check_iban(iban),
             f"EUR{decimal_text(amount_minor, EPC_MOST_MINOR)}", "", "", _line("text", text, 140)]
    return _fits(lines)


def _line(what: str, value: str, most: int) -> str:
    line = " ".join(value.split())
    if not 1 <= len(line) <= most or not line.isprintable():
        raise BadQr(f"The {what} has {len(line)} letters: from 1 to {most} fit, and no control signs.")
    return line


def _fits(lines: Sequence[str]) -> str:
    payload = "\n".join(lines)
    if len(payload.encode()) > EPC_MOST_BYTES:
        raise BadQr(f"It has {len(payload.encode())} bytes: {EPC_MOST_BYTES} fit.")
    return payload
