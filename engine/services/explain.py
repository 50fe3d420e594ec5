"""Explain a job: what it cost and why, or why nothing is known of it. Reads only; whoever may not see a run is told
nothing of it. Recomputes every charge it shows, and says so where the books hold something else.
"""

from __future__ import annotations

from typing import Any

from engine.errors import NotFound
from engine.explain import disagreement, explain, newest_first
from engine.explain_reasons import names_job, raw_id, reasons, unknown
from engine.explained import Answer, Complete, Explained, Rejected, Run, Weighing
from engine.policy import may_see_run
from engine.ports import Transaction
from engine.rate_frames import book_of
from engine.rates import RateCard
from engine.rating import CHARGE_SCHEMA, rate
from engine.services.months import with_their_months
from engine.users import Action, Person

Row = dict[str, Any]
MOST_CHECKED = 2000                     # stored charges that `disagreeing` computes again


def explain_job(tx: Transaction, job: str, by: Person, cluster: str = "") -> Answer:
    """Every run of `job` that `by` may see, newest first. `job` is an id as people write it, a raw id or a run key.

    Where there is none, the answer says why: a line that could not be read, or how far usage is known.
    """
    reads, whole = tx.explain_reads, job.strip()
    keys = reads.run_keys(whole, raw_id(whole), cluster)
    runs = [run for run in newest_first(reads.runs(keys)) if may_see_run(by, run.payer, run.account_name)]
    rejected = _rejected(tx, whole) if by.may(Action.SEE_INGESTION) else []
    complete = reads.complete()
    explained = tuple(_explained(tx, runs))
    why = explained[0].reasons if explained else (
        unknown(whole, cluster, rejected, complete, [_moment(tx, one) for one in complete], reads.refused()),)
    return Answer(whole, explained, tuple(rejected), tuple(complete), why)


def explain_run(tx: Transaction, run_key: str, by: Person) -> Explained:
    """One run taken apart; to whoever may not see it, it does not exist."""
    runs = tx.explain_reads.runs([run_key])
    if not runs or not may_see_run(by, runs[0].payer, runs[0].account_name):
        raise NotFound(f"No job {run_key!r}.")
    return _explained(tx, runs)[0]


def disagreeing(tx: Transaction, most: int = MOST_CHECKED) -> list[str]:
    """Of the newest `most` runs, those whose stored charge is not what the rating function makes of the record."""
    runs = tx.explain_reads.newest(most)
    rated = _rated(tx, runs)
    return [f"{run.run_key}: {wrong}" for run in runs if not run.settled and (wrong := disagreement(run, _charge(rated[run.run_key])))]


def _explained(tx: Transaction, runs: list[Run]) -> list[Explained]:
    cards = {card.name: card for card in tx.rates.book()}
    rated = _rated(tx, runs)
    return [_one(tx, run, cards[run.rate_card], rated[run.run_key]) for run in runs]


def _one(tx: Transaction, run: Run, card: RateCard, rated: Row) -> Explained:
    reads, apart = tx.explain_reads, explain(run, card, _weighing(rated))
    receipts, revisions = reads.receipts_of(run.run_key), reads.revisions(run.run_key)
    disagrees = "" if run.settled else disagreement(run, _charge(rated)) or apart.differs
    return Explained(run, apart, card, reasons(run, apart, receipts, revisions), tuple(receipts), reads.brought(run.run_id),
                     tuple(revisions), reads.tier_since(run.payer, run.tier), disagrees)


def _rated(tx: Transaction, runs: list[Run]) -> dict[str, Row]:
    """By run key what the rating function makes of the record now, by the card it carries: its charge and its factors."""
    book = tx.rates.book()
    stored = tx.explain_reads.stored([run.run_key for run in runs])
    known = with_their_months(tx, stored, book)
    carded = known.drop("tier", *CHARGE_SCHEMA).with_columns(known["rate_card"].alias("tier"))
    rated = rate(carded, book_of(book, by_name=True), factors=True).head(len(stored))
    return {row["run_key"]: row for row in rated.drop(name for name in carded.columns if name != "run_key").iter_rows(named=True)}


def _charge(rated: Row) -> dict[str, object]:
    return {name: rated[name] for name in CHARGE_SCHEMA if name != "rate_card"}


def _weighing(rated: Row) -> Weighing:
    before = {name.removesuffix("_before"): value for name, value in rated.items() if name.endswith("_before") and value is not None}
    return Weighing(rated["weighted_ppm_seconds"], rated["span_seconds"], before)


def _rejected(tx: Transaction, job: str) -> list[Rejected]:
    """Lines nobody read yet that name the job, by any of its ids."""
    parts = job.split("/")
    ids = {parts[1]} if len(parts) == 3 else {job}
    if (raw := raw_id(job)) is not None:
        ids.add(str(raw))
    return [line for line in tx.explain_reads.rejected(sorted(ids)) if any(names_job(line.text, one) for one in ids)]


def _moment(tx: Transaction, one: Complete) -> str:
    local = one.complete_to.astimezone(tx.settings.zone)
    return f"{local.day} {local:%b %Y %H:%M}"
