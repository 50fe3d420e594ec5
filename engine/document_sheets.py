"""A document in one language as the typesetter is handed it: strings in their places, nothing left to compute.

The same facts, language and standing make the same sheet. Foreign text goes through document_text; knows no fonts and no paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from engine.document_text import clean, clean_lines
from engine.document_words import day, month, say, short_day, title, unit
from engine.documents import Detail, DocumentKind, Facts, Language, WayToPay
from engine.money import amount_text, exact_text, minor_micro
from engine.receipt_lines import ROUNDING, Line, in_units_micro
from engine.receipts import ReceiptStatus

NONE = "–"
PARTY = {DocumentKind.RECEIPT: "billed_to", DocumentKind.PAYMENT_RECEIPT: "received_from", DocumentKind.CREDIT_NOTE: "credited_to",
         DocumentKind.DEBIT_NOTE: "debited_to"}
TOTALS = {DocumentKind.RECEIPT: "total", DocumentKind.PAYMENT_RECEIPT: "total_paid", DocumentKind.CREDIT_NOTE: "total_credited",
          DocumentKind.DEBIT_NOTE: "total_debited"}


def sheet(facts: Facts, language: Language, standing: ReceiptStatus | None = None) -> dict[str, Any]:
    """All that stands on the paper; `standing` is where a receipt stands now: only a pending one asks to be paid."""
    owed = standing in (None, ReceiptStatus.PENDING)
    return {
        "language": str(language),
        "title": title(facts.kind, language),
        "banner": "" if owed else say(str(standing), language),
        "issuer": {"name": clean(facts.issuer.name), "lines": _issuer_lines(facts, language)},
        "head": _head(facts, language),
        "party": [say(PARTY[facts.kind], language), clean(facts.payer)],
        "columns": [say("what", language), say("quantity", language), say("unit", language), say("price", language),
                    f"{say('amount', language)}, {facts.currency}"],
        "rows": [_row(line, facts, language) for line in facts.lines],
        "sums": _sums(facts, language),
        "total": [f"{say(TOTALS[facts.kind], language)}, {facts.currency}", amount_text(facts.total_micro, facts.currency)],
        "notes": _notes(facts, language),
        "ways": [_way(way, facts, language) for way in facts.ways_to_pay] if owed else [],
        "details": _details(facts, language),
        "foot": {"number": clean(f"{title(facts.kind, language)} {facts.number}"), "page": say("page", language),
                 "of": say("of", language)},
    }


def _issuer_lines(facts: Facts, language: Language) -> list[str]:
    tax_id = [f"{say('tax_id', language)} {clean(facts.issuer.tax_id)}"] if facts.issuer.tax_id else []
    return [*clean_lines(facts.issuer.address), *tax_id]


def _head(facts: Facts, language: Language) -> list[list[str]]:
    head = [[say("number", language), clean(facts.number)], [say("date", language), day(facts.on, language)]]
    if facts.due:
        head.append([say("due", language), day(facts.due, language)])
    if facts.period:
        first, last = facts.period
        span = short_day(first, language) + ("" if first == last else f" – {short_day(last, language)}")
        head.append([say("period", language), span])
    return head


def _row(line: Line, facts: Facts, language: Language) -> list[str]:
    absent = NONE if facts.kind is DocumentKind.RECEIPT else ""
    return [_what(line, language), absent if line.quantity_micro is None else amount_text(line.quantity_micro), unit(line.meter, language),
            absent if line.price_micro is None else exact_text(line.price_micro), amount_text(line.amount_micro, facts.currency)]


def _what(line: Line, language: Language) -> str:
    word = "rounding_jobs" if line.what == ROUNDING else line.what
    return say(word, language, job=clean(line.job), of=clean(line.of), card=clean(line.card_line),
               month=month(date.fromisoformat(line.month), language) if line.month else "")


def _sums(facts: Facts, language: Language) -> list[list[str]]:
    """What leads from the lines to the total: tax on top, or the tax that is in them, and rounding."""
    tax, currency = facts.tax, facts.currency
    about = {"name": clean(tax.name), "percent": f"{tax.ppm / 10_000:g}"}
    rows = [[say("subtotal", language), amount_text(facts.subtotal_micro, currency)]] if facts.kind is DocumentKind.RECEIPT else []
    if tax.ppm and not tax.included:
        rows.append([say("tax", language, **about), amount_text(tax.micro, currency)])
    if facts.rounding_micro:
        rows.append([say("rounding", language), exact_text(facts.rounding_micro)])
    if tax.ppm and tax.included:
        rows.append([say("net", language, **about), amount_text(facts.total_micro - tax.micro, currency)])
        rows.append([say("tax_included", language, **about), amount_text(tax.micro, currency)])
    return rows


def _notes(facts: Facts, language: Language) -> list[list[str]]:
    return [[say(word, language), clean(facts.about[word])] for word in ("provider", "reference", "reason") if facts.about.get(word)]


def _way(way: WayToPay, facts: Facts, language: Language) -> dict[str, str]:
    return {"title": say(f"pay_{way.scheme}", language), "payload": way.payload, "scheme": way.scheme,
            "amount": f"{amount_text(facts.total_micro, facts.currency)} {facts.currency}",
            "to": f"{say('to', language)} {clean(facts.issuer.name)}, {clean(way.payee)}",
            "note": say("state_reference", language, number=clean(facts.number))}


def _details(facts: Facts, language: Language) -> dict[str, Any] | None:
    """The jobs, or the days when there were too many jobs; None when there are none."""
    if not facts.details:
        return None
    by_day = any(detail.jobs > 1 for detail in facts.details)
    words = ["ended", "jobs"] if by_day else ["ended", "job", "name", "project"]
    columns = [*(say(word, language) for word in words), *(unit(meter, language) for meter in ("cpu", "gpu", "mem")), facts.currency]
    whole = all(detail.cost_micro % minor_micro(facts.currency) == 0 for detail in facts.details)
    rows = [_detail(detail, facts.currency, language, by_day, whole) for detail in facts.details]
    return {"title": say("details_by_day" if by_day else "details", language), "columns": columns, "words": len(words), "rows": rows,
            "by_day": by_day}


def _detail(detail: Detail, currency: str, language: Language, by_day: bool, whole: bool) -> list[str]:
    what: Sequence[str] = [str(detail.jobs)] if by_day else [clean(detail.job, 40), clean(detail.name, 80), clean(detail.project, 40)]
    used = ((detail.cpu_core_seconds, "cpu"), (detail.gpu_seconds, "gpu"), (detail.mem_mib_seconds, "mem"))
    cost = amount_text(detail.cost_micro, currency) if whole else exact_text(detail.cost_micro)
    return [short_day(detail.on, language), *what, *(amount_text(in_units_micro(amount, meter)) for amount, meter in used), cost]
