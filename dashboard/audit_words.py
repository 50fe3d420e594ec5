"""What an audit entry says, in a sentence. An action nobody has put into words yet is shown as it is written.

The sentences hold text from outside (names, reasons): they go to `st.text` and `st.dataframe` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboard.words import count, money
from data.postgres.shelves.operations_reads import AuditLine

SENTENCES = {
    "receipt.created": "Receipt {number} made for {payer}: {jobs}, {total}",
    "receipt.paid": "Receipt {number} paid: {reason}",
    "receipt.voided": "Receipt {number} voided: {reason}",
    "receipt.reverted": "Payment of receipt {number} reverted: {reason}",
    "receipt.refunded": "Receipt {number} is refunded",
    "receipt.refund_undone": "Receipt {number} is paid again: refund {refund} came back",
    "refund.requested": "Refund of {amount} of {payment}: {reason}",
    "refund.submitted": "Refund of {amount} of {payment} is under way",
    "refund.succeeded": "Refund of {amount} of {payment} arrived",
    "refund.failed": "Refund of {amount} of {payment} failed",
    "dispute.opened": "{amount} of {payment} disputed: {reason}",
    "dispute.withdrawn": "{provider} took {amount} for the dispute over {payment}",
    "dispute.reinstated": "{provider} gave {amount} back after the dispute over {payment}",
    "dispute.won": "Dispute over {amount} of {payment} won",
    "dispute.lost": "Dispute over {amount} of {payment} lost",
    "outbox.replayed": "Job {kind} {key} is tried again",
    "reconciliation.run": "{provider} compared for {day}: {outcome}, {differences} differences, {applied} applied",
    "rates.published": "Rate card {name} published, valid from {valid_from}",
    "rates.rerated": "Priced again by {cards}: {runs} runs, {receipted_runs} of them on receipts{reason_tail}",
    "payer.tier_set": "{subject_name} moved to tier {tier}{was}{reason_tail}",
    "user.add": "{subject_name} added as {role}, pays as {payer}",
    "user.set_role": "{subject_name} is {role} now, was {before}",
    "user.disable": "{subject_name} disabled, {sessions_ended} sessions ended",
    "user.set_password": "Password of {subject_name} changed, {sessions_ended} sessions ended",
    "user.lead": "{subject_name} sees the usage of project {project} now",
    "sign_in": "{subject_name} signed in from {address}",
    "sign_in.failed": "{subject_name} failed to sign in from {address}, attempt {failures}",
    "sign_in.locked": "{subject_name} locked out for {seconds} s after {failures} failures from {address}",
    "sign_in.unlocked": "{subject_name} may try to sign in again from {address}",
    "sign_out": "{subject_name} signed out",
    "sign_out.everywhere": "{subject_name} signed out everywhere, {sessions_ended} sessions ended",
    "node.key_confirmed": "Host key of {name} ({host}:{port}) compared and confirmed",
    "node.added": "Node {name} added: {gpu_count} × {gpu_model}",
    "node.moved": "Node {name} is {to}{was}{reason_tail}",
    "node.changed": "Node {name} is sold as {rate_model}",
    "node.tested": "Node {name} tested, its clock is {clock_offset_ms} ms ahead",
    "node.quarantined": "Node {name} quarantined: {reason}",
    "node.reopened": "Node {name} is {to} again",
    "node.orphan_found": "Node {name} holds {user}, of whom the books know nothing",
    "node.orphan_removed": "{user}, of whom the books know nothing, taken off node {name}",
    "allocation.requested": "Node {node} asked for, paid by {wallet}, at {price} an hour",
    "allocation.began": "Node {node} is set up and charged from now on",
    "allocation.given_up": "Node {node} could not be set up: {why}",
    "allocation.failed": "Node {node} was not set up, nothing was charged: {reason}",
    "allocation.stopped": "Allocation over, charged {charged} in all: {reason}",
    "allocation.released": "Nothing of it is left on node {node}",
    "allocation.cleanup_failed": "Node {node} could not be cleaned: {why}",
    "allocation.cleanup_retried": "Its clean-up is tried again",
    "allocation.terms_changed": "Agreed end {until}, released after {idle_minutes} idle minutes",
    "allocation.suspended": "Node {node} is out of reach, not charged: {why}",
    "allocation.resumed": "Node {node} is back, {free_seconds} s were free",
    "allocation.repaired": "What its holder lacked on node {node} was put back",
    "allocations.charged": "{allocations} allocations charged",
    "billing.stopped": "Billing loop stopped: {reason}",
    "billing.resumed": "Billing loop goes on: {reason}",
    "audit.verified": "Chain walked: {checked} entries, {verdict}",
}
AMOUNTS = {"amount": "amount_micro", "total": "total_micro", "charged": "charged_micro", "price": "price_micro_per_hour"}


def sentence(line: AuditLine) -> str:
    """One line for the table."""
    template = SENTENCES.get(line.action)
    if template is None:
        return "; ".join(f"{key} {value}" for key, value in line.facts.items())
    return template.format_map(_Facts(_spoken(line)))


class _Facts(dict[str, Any]):
    """A fact an entry does not hold (an older one) is a dash, not an error."""

    def __missing__(self, key: str) -> str:
        return "–"


def _spoken(line: AuditLine) -> Mapping[str, Any]:
    facts = dict(line.facts)
    was, reason = facts.get("was"), facts.get("reason")
    return facts | {
        "subject_name": line.subject.partition(":")[2], "jobs": count(facts["lines"], "job") if "lines" in facts else "–",
        "was": f" (was {was})" if was else "", "reason_tail": f": {reason}" if reason else "",
        "reason": reason or "no reason given",
        **{word: _money(facts, name) for word, name in AMOUNTS.items()},
        "verdict": "all of them hold" if facts.get("ok") else f"entry {facts.get('first_bad')} does not hold"}


def _money(facts: Mapping[str, Any], name: str) -> str:
    return money(facts[name], facts.get("currency", "")) if isinstance(facts.get(name), int) else "–"


def facts_rows(line: AuditLine) -> list[tuple[str, str]]:
    """The facts as they were signed: (name, value), amounts in words beside the integer."""
    currency = str(line.facts.get("currency", ""))
    rows = []
    for key, value in line.facts.items():
        shown = f"{value:,} ({money(value, currency)})" if key.endswith("_micro") and isinstance(value, int) else str(value)
        rows.append((key.replace("_", " "), shown))
    return rows


def as_frame(lines: Sequence[AuditLine]) -> pl.DataFrame:
    """Entries for a file: one row each, the facts as JSON, the hash to compare with."""
    return pl.DataFrame(
        [(line.id, line.at, line.actor, line.action, line.subject, sentence(line), json.dumps(line.facts, ensure_ascii=False),
          line.key_id, line.hash) for line in lines], orient="row",
        schema={"entry": pl.Int64, "at": pl.Datetime("us", "UTC"), "actor": pl.String, "action": pl.String, "subject": pl.String,
                "what": pl.String, "facts": pl.String, "key_id": pl.String, "hash": pl.String})
