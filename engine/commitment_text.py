"""A month's minimum as plain lines for people and as JSON values for programs. Pure."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from engine.commitments import Minimum, MonthLine, MonthStanding, month_end
from engine.money import amount_text, exact_text


def month_name(month: date) -> str:
    """`October 2026`."""
    return f"{month:%B %Y}"


def whose(line: str) -> str:
    """`tier gov`, `project physics`."""
    kind, _, name = line.partition(":")
    return f"{kind} {name}" if name else f"tier {line}"


def standing_lines(one: MonthStanding, now: datetime, zone: ZoneInfo) -> list[str]:
    """One minimum: what it comes from, what was used, what receipts say of it, and what comes next."""
    due, currency = one.due, one.due.minimum.card.currency
    least = due.minimum
    body = [*(f"Card {share.rate_card}, {share.days} of {least.days} days: {_money(share.micro, currency)}" for share in least.shares),
            f"Its usage costs {_money(due.used_micro, currency)}, which leaves {_money(due.due_micro, currency)}",
            *(line_words(line) for line in one.lines)]
    return [f"{month_name(due.of.month)}, {whose(due.of.line)}: {due.of.payer} pays at least {_money(least.micro, currency)}",
            *(f"  {line}" for line in body), why(one, now, zone)]


def line_words(line: MonthLine) -> str:
    """`Receipt CH-2026-000012 (paid), commitment: 179.60 THB`."""
    return f"Receipt {line.number} ({line.status}), {line.kind}: {_money(line.cost_micro, line.currency)}"


def why(one: MonthStanding, now: datetime, zone: ZoneInfo) -> str:
    """Whether it is billed, and what the next receipt does to it."""
    due, currency = one.due, one.due.minimum.card.currency
    end = month_end(due.of.month, zone)
    if now < end:
        return f"The month is not over: what is missing then is owed from {end.day} {end:%b %Y} on."
    if due.owed_micro:
        verb = "adds" if due.owed_micro > 0 else "takes off"
        return f"The next receipt {verb} {amount_text(abs(due.owed_micro), currency)} {currency}."
    if due.due_micro:
        return "It is billed."
    return "The usage covers it: nothing is added." if due.minimum.micro else "Nothing is owed for it."


def nothing_lines(payer: str, month: date) -> list[str]:
    """Where no card says anything of the month."""
    return [f"{month_name(month)}: no card asks a minimum of {payer}."]


def standing_json(one: MonthStanding) -> dict[str, object]:
    """One minimum as JSON values; amounts in micro-units."""
    due = one.due
    return {"payer": due.of.payer, "month": f"{due.of.month:%Y-%m}", "cards": due.of.line, "currency": due.minimum.card.currency,
            "minimum_micro": due.minimum.micro, "shares": _shares_json(due.minimum), "used_micro": due.used_micro,
            "due_micro": due.due_micro, "billed_micro": due.billed.micro, "owed_micro": due.owed_micro,
            "lines": [{"number": line.number, "status": line.status, "kind": line.kind, "live": line.live,
                       "minimum_micro": line.minimum_micro, "used_micro": line.used_micro, "billed_before_micro": line.before_micro,
                       "cost_micro": line.cost_micro} for line in one.lines]}


def _shares_json(least: Minimum) -> list[dict[str, object]]:
    return [{"rate_card": share.rate_card, "days": share.days, "of_days": least.days, "micro": share.micro} for share in least.shares]


def _money(micro: int, currency: str) -> str:
    return f"{exact_text(micro)} {currency}"
