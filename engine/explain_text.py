"""An explanation as plain lines for people and as JSON values for programs. Pure; the zone people read in is an argument.

JSON keeps every key in every answer: what does not apply is null or an empty list. Amounts are micro-units, quantities
whole numbers of the meter's smallest unit, instants UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.explain import (
    BASE_UNITS,
    METER_NAMES,
    ROUNDING_WORDS,
    UNIT_SIZE,
    Answer,
    Because,
    Explained,
    OnReceipt,
    Rejected,
    Revision,
    decimal,
    measured,
    product,
)
from engine.money import amount_text, exact_text

LONGEST_LINE = 200                      # characters of a rejected line that are shown
NO_CARD_BEFORE = 2000                   # a card of an earlier year was always valid


def lines(answer: Answer, zone: ZoneInfo) -> list[str]:
    """The whole answer, one line each."""
    said = [] if answer.runs else [because.sentence for because in answer.reasons]
    for number, one in enumerate(answer.runs, 1):
        more = [f"Run {number} of {len(answer.runs)}, newest first"] if len(answer.runs) > 1 else []
        said += [*([""] if number > 1 else []), *more, *run_lines(one, zone)]
    if answer.rejected:
        said += ["", *(line for one in answer.rejected for line in rejected_lines(one, zone))]
    return said


def run_lines(one: Explained, zone: ZoneInfo) -> list[str]:
    """One run: who and when, the line with every factor, the records behind it, and why it is charged or not."""
    warning = [f"WRONG: {one.disagrees}. The books and the rating function disagree: run ./corehours check."] if one.disagrees else []
    return [*warning, about(one, zone), *(f"  {line}" for line in [*charge_lines(one), card_line(one, zone), *record_lines(one, zone)]),
            *(because.sentence for because in one.reasons)]


def about(one: Explained, zone: ZoneInfo) -> str:
    """`Job 7 on c1 · train · physics · alice · completed · ended 5 Oct 2026 10:00 +07`."""
    run = one.run
    when = f"ended {moment(run.end_at, zone)}" if run.ended and run.end_at else (
        f"running since {moment(run.start_at, zone)}" if run.start_at else f"waiting since {moment(run.submit_at, zone)}")
    name = " ".join("".join(letter if letter.isprintable() else "·" for letter in run.job_name).split()) or "–"
    return " · ".join([f"Job {run.job_id} on {run.cluster}", name[:80], run.account_name, run.user_name, run.state.lower(), when])


def charge_lines(one: Explained) -> list[str]:
    """Each meter, then the rounding, then the total they add up to."""
    apart = one.explanation
    made = [f"{METER_NAMES[factor.meter]}: {measured(factor)}; × {exact_text(factor.price_micro)} = "
            f"{exact_text(factor.amount_micro)} {apart.currency}" for factor in apart.factors]
    return [*made, f"Rounding ({rounding_words(one)}): {exact_text(apart.rest_micro)} {apart.currency}",
            f"Total: {amount_text(apart.total_micro, apart.currency)} {apart.currency}"
            if apart.total_micro % 10_000 == 0 else f"Total: {exact_text(apart.total_micro)} {apart.currency}"]


def rounding_words(one: Explained) -> str:
    """The rounding rule."""
    return ROUNDING_WORDS[one.card.rounding]


def card_line(one: Explained, zone: ZoneInfo) -> str:
    """The card with its dates, and why this card: the payer's tier and since when."""
    run, card = one.run, one.card
    return (f"Card {card.name}, valid from {valid_from(card.valid_from, zone)}, policy {run.policy}; "
            f"{run.payer} pays tier {run.tier}{_tier_words(one, zone)}")


def valid_from(instant: datetime, zone: ZoneInfo) -> str:
    """A card's first instant in words."""
    return "the beginning" if instant.year < NO_CARD_BEFORE else moment(instant, zone)


def _tier_words(one: Explained, zone: ZoneInfo) -> str:
    since = one.tier_since
    return f" since {moment(since.at, zone)} (set by {since.by})" if since else ", the one new payers begin at"


def record_lines(one: Explained, zone: ZoneInfo) -> list[str]:
    """Where the record came from, what corrected it, and the receipts it stands on."""
    return [_brought_line(one, zone), *(revision_line(each, one.run.currency, zone) for each in one.revisions),
            *(receipt_line(each, one.run.currency) for each in one.receipts)]


def _brought_line(one: Explained, zone: ZoneInfo) -> str:
    run, by = one.run, one.brought
    told = f"ingest run {by.run_id} ({by.source} {by.origin}, {moment(by.started_at, zone)})" if by else f"ingest run {run.run_id}"
    return f"Record {run.run_key}, revision {run.revision}, brought by {told}; AllocTRES {run.alloc_tres or 'empty'}"


def revision_line(each: Revision, currency: str, zone: ZoneInfo) -> str:
    """What a correction replaced."""
    micro = each.was.get("cost_micro")
    cost = f", cost {exact_text(micro)} {currency}" if isinstance(micro, int) else ""
    return (f"Corrected {moment(each.replaced_at, zone)} by ingest run {each.replaced_by}; revision {each.revision} said "
            f"{each.was.get('state')}, {each.was.get('elapsed_seconds')} s, {each.was.get('alloc_tres')}{cost}")


def receipt_line(each: OnReceipt, currency: str) -> str:
    """A line on a receipt: the usage, or what a correction adds or takes."""
    return f"Receipt {each.number} ({each.status}), {each.kind}: {exact_text(each.cost_micro)} {currency}"


def rejected_lines(one: Rejected, zone: ZoneInfo) -> list[str]:
    """A line that could not be read, with its text."""
    text = "".join(letter if letter.isprintable() else "·" for letter in one.text)
    return [f"Set aside: line {one.line} of ingest run {one.run_id} ({one.source} {one.origin}, {moment(one.started_at, zone)}): "
            f"{one.reason}", f"  {text[:LONGEST_LINE]}{'…' if len(text) > LONGEST_LINE else ''}"]


def moment(instant: datetime | None, zone: ZoneInfo) -> str:
    """`5 Oct 2026 17:00 UTC` in `zone`; – when there is none."""
    if instant is None:
        return "–"
    local = instant.astimezone(zone)
    return f"{local.day} {local:%b %Y %H:%M %Z}"


def as_json(answer: Answer) -> dict[str, object]:
    """The whole answer as JSON values."""
    return {"asked": answer.asked, **_because(answer.reasons), "runs": [run_json(one) for one in answer.runs],
            "rejected": [{"ingest_run": one.run_id, "source": one.source, "origin": one.origin, "at": utc(one.started_at),
                          "line": one.line, "reason": one.reason, "text": one.text} for one in answer.rejected],
            "complete": [{"cluster": one.cluster, "complete_to": utc(one.complete_to), "source": one.source}
                         for one in answer.complete]}


def run_json(one: Explained) -> dict[str, object]:
    """One run as JSON values."""
    run = one.run
    return {
        "run_key": run.run_key, "cluster": run.cluster, "job_id": run.job_id, "job_id_raw": run.job_id_raw, "name": run.job_name,
        "user": run.user_name, "account": run.account_name, "partition": run.partition_name, "state": run.state,
        "submit": utc(run.submit_at), "start": utc(run.start_at), "end": utc(run.end_at), "ended": run.ended,
        "elapsed_seconds": run.elapsed_seconds, "alloc_tres": run.alloc_tres, **_because(one.reasons),
        "charge": _charge_json(one), "card": _card_json(one), "record": _record_json(one),
        "receipts": [_receipt_json(each) for each in one.receipts]}


def _because(reasons: Iterable[Because]) -> dict[str, object]:
    said = list(reasons)
    return {"reason": said[0].reason.value if said else None, "why": " ".join(because.sentence for because in said) or None,
            "reasons": [{"reason": because.reason.value, "sentence": because.sentence} for because in said]}


def _charge_json(one: Explained) -> dict[str, object]:
    apart = one.explanation
    return {"currency": apart.currency, "total_micro": apart.total_micro, "rounding_micro": apart.rest_micro,
            "rounding": one.card.rounding.value, "policy": one.run.policy, "factors": [
                {"meter": factor.meter, "quantity": factor.quantity, "quantity_unit": BASE_UNITS[factor.meter],
                 "units": decimal(factor.quantity, UNIT_SIZE[factor.meter]), "unit": factor.unit, "source": factor.source,
                 "measured": measured(factor), "price_micro": factor.price_micro, "amount_micro": factor.amount_micro,
                 "words": product(factor, apart.currency)} for factor in apart.factors],
            "recomputed": {"agrees": not one.disagrees, "difference": one.disagrees or None}}


def _card_json(one: Explained) -> dict[str, object]:
    card, since = one.card, one.tier_since
    return {"name": card.name, "valid_from": utc(card.valid_from), "tier": one.run.tier, "payer": one.run.payer,
            "tier_since": utc(since.at) if since else None, "tier_set_by": since.by if since else None}


def _record_json(one: Explained) -> dict[str, object]:
    run, by = one.run, one.brought
    return {"ingest_run": run.run_id, "source": by.source if by else None, "origin": by.origin if by else None,
            "at": utc(by.started_at) if by else None, "revision": run.revision,
            "replaced": [{"revision": each.revision, "ingest_run": each.run_id, "replaced_at": utc(each.replaced_at),
                          "replaced_by": each.replaced_by, "was": each.was} for each in one.revisions]}


def _receipt_json(each: OnReceipt) -> dict[str, object]:
    return {"receipt_id": each.receipt_id, "number": each.number, "status": each.status, "kind": each.kind, "live": each.live,
            "revision": each.revision, "cost_micro": each.cost_micro, "issued_at": utc(each.issued_at)}


def utc(instant: datetime | None) -> str | None:
    """`2026-10-05T10:00:00Z`."""
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None
