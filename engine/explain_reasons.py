"""Why a run is charged as it is or not, and why nothing is known of a job: a code and one plain sentence each. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from engine.charge_parts import Kind
from engine.explained import Because, Brought, Complete, Explanation, Factor, OnReceipt, Reason, Rejected, Revision, Run, main_receipt
from engine.money import amount_text


def reasons(run: Run, explanation: Explanation, receipts: Sequence[OnReceipt], revisions: Sequence[Revision] = ()) -> tuple[Because, ...]:
    """Why this run is charged or not: what bills it, then why it costs nothing where it does. The first one decides."""
    if not run.ended:
        return (Because(Reason.RUNNING, "It is still running: it is priced when it ends.") if run.start_at else
                Because(Reason.PENDING, "It waits for its turn: what has not started has used nothing."),)
    if run.settled:
        return (Because(Reason.PAID_AS_IT_RAN, f"It was paid from the wallet of {run.account_name} as it ran, allocation {run.job_id}: "
                                               "no receipt takes it."),)
    nothing = _costs_nothing(run, explanation) if run.cost_micro == 0 else None
    billed = _billed(run, receipts, revisions)
    if nothing is None:
        return (billed,)
    return (nothing,) if billed.reason is Reason.UNBILLED else (billed, nothing)


def _billed(run: Run, receipts: Sequence[OnReceipt], revisions: Sequence[Revision]) -> Because:
    live = [one for one in receipts if one.live]
    if live and run.billed_micro is not None:
        owed = run.cost_micro - run.billed_micro
        if not owed:
            return Because(Reason.ON_RECEIPT, _on(live))
        return Because(Reason.CORRECTED, f"{_on(live)} {_since(run, max(one.revision for one in live), owed, revisions)}")
    void = next((one for one in receipts if one.status == "void"), None)
    if void:
        return Because(Reason.RECEIPT_VOID, f"It was on receipt {void.number}, which was voided: it is unbilled again, "
                                            "the next receipt takes it.")
    return Because(Reason.UNBILLED, "It is not billed yet: the next receipt takes it.")


def _on(live: Sequence[OnReceipt]) -> str:
    """`It is on receipt N (paid), with an adjustment on M (pending).`"""
    first = main_receipt(live)
    assert first is not None
    more = [f"{one.number} ({one.status})" for one in reversed(live) if one is not first]
    adjusted = f", with {'an adjustment' if len(more) == 1 else 'adjustments'} on {' and '.join(more)}" if more else ""
    return f"It is on receipt {first.number} ({first.status}){adjusted}."


def _since(run: Run, billed_revision: int, owed: int, revisions: Sequence[Revision]) -> str:
    what = "usage was corrected" if any(one.revision >= billed_revision for one in revisions) else "price was changed"
    verb = "adds" if owed > 0 else "takes off"
    return f"Its {what} since: the next receipt {verb} {amount_text(abs(owed), run.currency)} {run.currency}."


def _costs_nothing(run: Run, explanation: Explanation) -> Because:
    if run.elapsed_seconds == 0:
        return Because(Reason.NOT_RUN, "It ended before it ran: nothing was used, so it costs nothing.")
    used = [factor for factor in explanation.factors if factor.part.quantity or factor.part.kind is Kind.PACKAGES]
    if not any(run.quantity(factor.meter) for factor in used):
        return Because(Reason.NOTHING_USED, f"It ran, but by policy {run.policy} nothing that is billed was measured, "
                                            "so it costs nothing.")
    if explanation.weighing.weighted_ppm_seconds == 0:
        held = ", ".join(dict.fromkeys(name for part in explanation.times for name in part.modifiers))
        return Because(Reason.ZERO_FACTOR, f"Card {explanation.card} makes the time it ran in free ({held} × 0), so it costs nothing.")
    if not any(factor.price_micro and factor.part.quantity for factor in used):
        return _free(explanation, used)
    return Because(Reason.BELOW_SMALLEST_COIN, "What it used is less than the smallest coin, so it costs nothing.")


def _free(explanation: Explanation, used: Sequence[Factor]) -> Because:
    quota = [factor for factor in used if factor.part.upto is not None]
    if quota:
        free = " and ".join(f"{factor.part.upto:,} {factor.unit}s" for factor in quota)
        return Because(Reason.FREE_QUOTA, f"The free {free} of its month ({explanation.month}, card {explanation.card}) cover it, "
                                          "so it costs nothing.")
    if any(factor.part.kind is Kind.PACKAGES for factor in used):
        return Because(Reason.PACKAGE_BEGUN, f"Packages that were begun earlier in its month ({explanation.month}, card "
                                             f"{explanation.card}) cover it, so it costs nothing more.")
    return Because(Reason.ZERO_RATE, f"Card {explanation.card} prices what it used at zero, so it costs nothing.")


def unknown(job: str, cluster: str, rejected: Sequence[Rejected], complete: Sequence[Complete], moments: Sequence[str],
            refused: Brought | None = None) -> Because:
    """Why nothing is known of `job`. `moments` says the instants of `complete` in words; `refused` is the last ingest run when
    its batch was set aside."""
    if rejected:
        first = rejected[0]
        return Because(Reason.QUARANTINED, f"A line that names it could not be read and is set aside: line {first.line} of ingest "
                                           f"run {first.run_id} ({first.source}): {first.reason}. It is charged once a later "
                                           "run reads it well.")
    where, known = f" on cluster {cluster}" if cluster else "", list(zip(complete, moments, strict=True))
    here = [f"usage of {one.cluster} is complete up to {said}" for one, said in known if cluster in ("", one.cluster)]
    if not here:
        others = ", ".join(one.cluster for one in complete)
        return Because(Reason.UNKNOWN, f"No source ever told of job {job}{where}: no usage{where} was loaded yet"
                                       + (f", only of {others}." if others else "."))
    said = "; ".join(here)
    return Because(Reason.UNKNOWN, f"No source ever told of job {job}{where}. {said[0].upper()}{said[1:]}: if it ended later than "
                                   "that it may still come, if earlier the source did not have it."
                                   + (f" The last ingest run ({refused.run_id}, {refused.source}) was refused." if refused else ""))


def names_job(text: str, job: str) -> bool:
    """True when a rejected line (`text`, as the source wrote it) is of `job`: an id as people write it, or a raw id.

    In sacct's text the first column that can be a job id counts and the one beside it; in JSON the job's own ids."""
    if text.lstrip().startswith("{"):
        return job in _ids_of_json(text)
    fields = [re.sub(r"\.[A-Za-z0-9_+]+$", "", piece) for piece in re.split(r"[|\x1f]", text.split("\n")[0])]
    first = next((at for at, piece in enumerate(fields) if re.fullmatch(JOB_ID, piece)), None)
    return first is not None and job in fields[first:first + 2]


JOB_ID = r"[0-9]+(?:_[0-9]+|_\[[^\]]*\]|\+[0-9]+)?"


def _ids_of_json(text: str) -> set[str]:
    """Raw id, `12_3`, `22+1` of a job's JSON, which may be cut off."""
    try:
        job = json.loads(text)
        array, het = job.get("array") or {}, job.get("het") or {}
        raw = _plain_number(job.get("job_id"))
        return {raw, f"{_plain_number(array.get('job_id'))}_{_plain_number(array.get('task_id'))}",
                f"{_plain_number(het.get('job_id'))}+{_plain_number(het.get('job_offset'))}"}
    except (ValueError, AttributeError):
        return set(re.findall(r'(?<!array": \{)"job_id": ?(\d+)', text))


def _plain_number(value: object) -> str:
    return str(value.get("number", "")) if isinstance(value, dict) else str(value)


def raw_id(job: str) -> int | None:
    """The raw id that `job` surely has: `12` is 12, `22+1` is 23; of `12_3` it is not known, nor of a run key."""
    match = re.fullmatch(r"([0-9]{1,18})(?:\+([0-9]{1,6}))?", job)
    return int(match[1]) + int(match[2] or 0) if match else None
