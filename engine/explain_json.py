"""An explanation as JSON values for programs. Pure.

Every key stands in every answer: what does not apply is null or an empty list. Amounts are micro-units, quantities whole
numbers of the meter's smallest unit, instants UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.charge_parts import Kind
from engine.explain import BASE_UNITS, decimal, measured, product
from engine.explain_text import on_ladder
from engine.explained import Answer, Because, Explained, Factor, OnReceipt


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
            "rounding": one.card.rounding.value, "policy": one.run.policy,
            "factors": [_factor_json(one, factor) for factor in apart.factors], "time": _time_json(one), "month": _month_json(one),
            "recomputed": {"agrees": not one.disagrees, "difference": one.disagrees or None}}


def _factor_json(one: Explained, factor: Factor) -> dict[str, object]:
    part, apart = factor.part, one.explanation
    units = part.kind is Kind.UNITS
    return {"meter": part.meter, "model": part.model or None, "kind": part.kind.value, "label": factor.label,
            "quantity": part.quantity, "quantity_unit": BASE_UNITS[part.meter] if units else factor.unit,
            "units": decimal(part.quantity, part.size), "unit": factor.unit, "source": factor.source, "measured": measured(factor),
            "above": part.above, "upto": part.upto, "price_micro": part.price_micro, "added": part.added,
            "would_micro": factor.would_micro, "amount_micro": part.amount_micro,
            "words": product(factor, apart.weighing.factor, apart.currency)}


def _time_json(one: Explained) -> dict[str, object]:
    weighing = one.explanation.weighing
    factor = weighing.factor
    return {"factor": decimal(factor.numerator, factor.denominator), "weighted_ppm_seconds": weighing.weighted_ppm_seconds,
            "span_seconds": weighing.span_seconds, "time_zone": one.card.time_zone, "parts": [
                {"modifiers": list(part.modifiers), "factor_ppm": part.factor_ppm, "seconds": part.seconds,
                 "spans": [[utc(since), utc(until)] for since, until in part.spans]} for part in one.explanation.times]}


def _month_json(one: Explained) -> dict[str, object] | None:
    apart = one.explanation
    if not apart.month:
        return None
    return {"month": apart.month, "payer": one.run.payer, "cards": one.card.line, "used_before": {
        name: quantity for name, quantity in apart.weighing.before.items() if on_ladder(one, name)}}


def _card_json(one: Explained) -> dict[str, object]:
    card, since = one.card, one.tier_since
    return {"name": card.name, "valid_from": utc(card.valid_from), "project": card.project or None, "tier": one.run.tier,
            "payer": one.run.payer, "tier_since": utc(since.at) if since else None, "tier_set_by": since.by if since else None}


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
