"""A bank's statement as CSV, read strictly: every line is understood or named with what is wrong with it, nothing is guessed.

Columns are found by their names, English or Thai; the currency may stand in a column or be said beside the file. What went out is
counted and left out. An amount whose comma could be either is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from engine.bank import BadLine, NewLine, check_line, keyed
from engine.errors import DomainError
from engine.money import MINOR_DIGITS, parse_micro

MOST_BYTES = 5 * 1024 * 1024
MOST_LINES = 20_000
BUDDHIST_FROM = 2400                    # a year from here on is of the Buddhist era
NAMES = {
    "date": ("date", "booked_on", "booking date", "transaction date", "value date", "วันที่"),
    "credit": ("credit", "deposit", "paid in", "เงินฝาก", "ฝาก"),
    "amount": ("amount", "จำนวนเงิน"),
    "debit": ("debit", "withdrawal", "paid out", "เงินถอน", "ถอน"),
    "currency": ("currency", "สกุลเงิน"),
    "text": ("text", "description", "details", "remittance information", "note", "รายละเอียด", "รายการ", "หมายเหตุ"),
    "reference": ("reference", "ref1", "ref 1", "เลขอ้างอิง"),
    "bank_ref": ("id", "bank reference", "transaction id"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a file says: the money that came in, how many lines were money that went out, and what could not be read."""

    lines: tuple[NewLine, ...]
    outgoing: int
    problems: tuple[str, ...]


def read_statement(data: bytes, currency: str) -> Statement:
    """A statement from a CSV file in UTF-8; `currency` where the file has no column for it."""
    rows, columns = _rows(data)
    lines, outgoing, problems = [], 0, []
    for number, row in rows:
        try:
            line = _line({name: row[at].strip() if at < len(row) else "" for name, at in columns.items()}, currency)
        except DomainError as refusal:
            problems.append(f"Line {number}: {refusal.detail or refusal.sentence}")
            continue
        if line is None:
            outgoing += 1
        else:
            lines.append(line)
    return Statement(tuple(keyed(lines)), outgoing, tuple(problems))


def _rows(data: bytes) -> tuple[list[tuple[int, list[str]]], Mapping[str, int]]:
    """The rows with their line numbers, and where each column is."""
    if len(data) > MOST_BYTES:
        raise BadLine(f"The file has {len(data):,} bytes: {MOST_BYTES:,} are read.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadLine(f"The file is not UTF-8 (byte {error.start:,}): save it as CSV UTF-8.") from None
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    try:
        read = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), 1) if any(row)]
    except csv.Error as error:
        raise BadLine(f"The file is no CSV: {error}.") from None
    if len(read) > MOST_LINES + 1:
        raise BadLine(f"The file has {len(read):,} lines: {MOST_LINES:,} are read at a time.")
    return read[1:], _columns(read[0][1] if read else [])


def _columns(head: Sequence[str]) -> Mapping[str, int]:
    plain = [" ".join(name.split()).casefold() for name in head]
    found = {name: next((plain.index(one) for one in names if one in plain), None) for name, names in NAMES.items()}
    columns = {name: at for name, at in found.items() if at is not None}
    if "date" not in columns or not {"credit", "amount"} & set(columns):
        raise BadLine("The first line names the columns: a date, an amount (or credit), and the payer's words (text).")
    return columns


def _line(row: Mapping[str, str], currency: str) -> NewLine | None:
    """One line; None for money that went out."""
    amount = row.get("credit") or row.get("amount") or ""
    if not amount and row.get("debit"):
        return None
    micro = statement_amount(amount)
    if micro < 0 or (micro == 0 and row.get("debit")):
        return None
    named = (row.get("currency") or currency).upper()
    if named not in MINOR_DIGITS:
        raise BadLine(f"{named!r} is no currency known here.")
    text = " ".join(part for part in (row.get("text"), row.get("reference")) if part)
    return check_line(NewLine(statement_day(row["date"]), micro, named, text, row.get("bank_ref", "")))


def statement_day(text: str) -> date:
    """`2026-11-28`, `28/11/2026`, `28.11.2026`, `28/11/2569`: the day stands first where the year does not."""
    match = re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text, re.ASCII)
    year, month, day = match.groups() if match else (None, None, None)
    if not match and (other := re.fullmatch(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})", text, re.ASCII)):
        day, month, year = other.groups()
    if year is None or month is None or day is None:
        raise BadLine(f"{text!r} is no date such as 2026-11-28 or 28/11/2026.")
    number = int(year)
    try:
        return date(number - 543 if number >= BUDDHIST_FROM else number, int(month), int(day))
    except ValueError:
        raise BadLine(f"{text!r} is no day of the calendar.") from None


def statement_amount(text: str) -> int:
    """`1,234.56`, `1.234,56`, `1234.5` in micro-units. `1,234` and `1.234` could be either and are refused."""
    sign, plain = (-1, text[1:]) if text[:1] in "-−" and text else (1, text.removeprefix("+"))
    kinds: dict[str, Callable[[str], str]] = {
        r"\d+(\.\d{1,2})?": lambda word: word, r"\d{1,3}(,\d{3})+\.\d{1,2}": lambda word: word.replace(",", ""),
        r"\d+,\d{1,2}": lambda word: word.replace(",", "."),
        r"\d{1,3}(\.\d{3})+,\d{1,2}": lambda word: word.replace(".", "").replace(",", ".")}
    for pattern, mend in kinds.items():
        if re.fullmatch(pattern, plain, re.ASCII):
            return sign * parse_micro(mend(plain))
    raise BadLine(f"{text!r} is no amount such as 1,234.56 or 1.234,56.")
