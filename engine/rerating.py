"""Re-rating: what other cards would make of jobs that have their price already. Cards reach back, sums are compared.

A draft card prices the jobs of its line: those of a tier, or those run in a project that has a card of its own. What is
compared is what those jobs cost now and what they would cost. Pure: rows and cards in, sums out; whether anything is
published, and where rows come from, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl

from engine.errors import MoneyError, RateError
from engine.ladders import is_ladder
from engine.rate_frames import ALWAYS, Book, book_of
from engine.rates import CardConflict, RateCard, next_version
from engine.rating import CHARGE_SCHEMA, rate
from engine.revisions import STORED_SCHEMA

KINDS = ("all", "tier", "account", "day", "payer")

# What pricing a job again needs of it (instants as Unix seconds): its measured quantities, what it costs, and whether
# it is on a receipt.
JOB_SCHEMA: dict[str, pl.DataType] = {name: STORED_SCHEMA[name] for name in (
    "run_key", "payer", "tier", "account_name", "currency", "rate_card", "cost_micro", "billed_micro", "ended", "submit_at", "start_at",
    "end_at", "elapsed_seconds", "alloc_tres", "alloc_cpus", "alloc_gpus", "alloc_mem_mib", "cpu_used_core_seconds",
    "mem_used_mib_seconds")}
SUMS = ("jobs", "changed_jobs", "before_micro", "after_micro", "receipted_jobs", "receipted_difference_micro")
# Sums over the jobs the drafts price, by each of KINDS; `name` is "" for all, a date for a day.
SUM_SCHEMA: dict[str, pl.DataType] = {"kind": pl.String(), "name": pl.String(), **{name: pl.Int64() for name in SUMS}}


@dataclass(frozen=True, slots=True)
class Drafted:
    """The rate book as it would be with draft cards in it, and which of its cards are the drafts."""

    book: Book
    drafts: tuple[RateCard, ...]

    @property
    def names(self) -> list[str]:
        """The drafts' names, with the versions they would have."""
        return [card.name for card in self.drafts]

    @property
    def tiers(self) -> list[str]:
        """Tiers the drafts price."""
        return sorted({card.tier for card in self.drafts if card.tier})

    @property
    def projects(self) -> list[str]:
        """Projects the drafts price."""
        return sorted({card.project for card in self.drafts if card.project})

    @property
    def currency(self) -> str:
        """The one currency of all drafts."""
        return self.drafts[0].currency

    @property
    def by_month(self) -> bool:
        """Whether what a job costs on one of their lines depends on what its payer used before in the month."""
        lines = {card.line for card in self.drafts}
        return any(is_ladder(price) for card in self.book.cards if card.line in lines for price in card.prices)

    def begin(self, since: datetime | None) -> datetime | None:
        """From when jobs must be known to price those that ended at or after `since`: with month ladders all of its month,
        in whichever zone that is the card's."""
        if since is None or not self.by_month:
            return since
        return (since - timedelta(days=1)).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)

    @property
    def since(self) -> datetime:
        """From when the first of them holds."""
        return min(card.valid_from for card in self.drafts)

    @property
    def until(self) -> datetime | None:
        """Until when the last of them holds: when the next card of its line begins; None without one."""
        ends = [min((other.valid_from for other in self.book.cards if other.line == card.line and other.valid_from > card.valid_from),
                    default=None) for card in self.drafts]
        return None if None in ends else max(end for end in ends if end)


def drafted(book: Sequence[RateCard], drafts: Sequence[RateCard], dated: bool) -> Drafted:
    """`drafts` put into `book`, which may reach back before published cards.

    With `dated` each holds from its valid_from until the next card of its line begins, whichever was published first: as
    re-rating does it. Without, the drafts of a line take the place of all its cards, the first of them from the
    beginning: "what if this had always been the price". A RateError where they cannot stand in the book.
    """
    whole = list(book)
    for card in _in_order(drafts):
        whole.append(next_version(card, whole, reaching_back=True))
    new = whole[len(book):]
    if dated:
        return Drafted(book_of(whole), tuple(new))
    lines = {card.line for card in new}
    first = {line: min(card.valid_from for card in new if card.line == line) for line in lines}
    always = [replace(card, valid_from=ALWAYS) if card.valid_from == first[card.line] else card for card in new]
    return Drafted(book_of([*(card for card in book if card.line not in lines), *always]), tuple(always))


def _in_order(drafts: Sequence[RateCard]) -> list[RateCard]:
    if not drafts:
        raise RateError("There is no card in it.")
    if other := next((card for card in drafts if card.currency != drafts[0].currency), None):
        raise CardConflict(other, "currency", f"Its cards are in {drafts[0].currency} and {other.currency}: try one currency at a time.")
    ordered = sorted(drafts, key=lambda card: (card.line, card.valid_from))
    for card, following in pairwise(ordered):
        if (card.line, card.valid_from) == (following.line, following.valid_from):
            raise CardConflict(following, "valid_from", f"Two cards of {card.line} begin at {card.valid_from.isoformat()}: leave one out.")
    return ordered


def unpublished(book: Sequence[RateCard], drafts: Sequence[RateCard]) -> list[RateCard]:
    """`drafts` without those the book says already: the last card published for that instant, in the same terms."""
    return [card for card in drafts if not _said(book, card)]


def _said(book: Sequence[RateCard], draft: RateCard) -> bool:
    same = [card for card in book if card.line == draft.line and card.valid_from == draft.valid_from]
    newest = max(same, key=lambda card: card.version, default=None)
    return newest is not None and replace(newest, version=0, note="") == replace(draft, version=0, note="")


def priced(jobs: pl.DataFrame, new: Drafted) -> pl.DataFrame:
    """Those of `jobs` (JOB_SCHEMA and more) that a draft prices, in their order, with the charge it makes; what they
    had is in `was_cost_micro` and `was_rate_card`. A job in another currency than the draft's is a RateError."""
    was = jobs.select(pl.col("cost_micro", "rate_card", "currency").name.prefix("was_"))
    kept = jobs.drop(*CHARGE_SCHEMA, strict=False).hstack(was)
    both = rate(kept, new.book).filter(pl.col("rate_card").is_in(new.names))
    other = both.filter(pl.col("currency") != pl.col("was_currency"))
    if not other.is_empty():
        row = other.row(0, named=True)
        raise RateError(f"{row['run_key']} is reckoned in {row['was_currency']}; {row['rate_card']} is in {row['currency']}.")
    return both


def summed(rated: pl.DataFrame, zone: str, since: datetime | None = None) -> pl.DataFrame:
    """Rows of `priced` that ended, since where that is said, as sums (SUM_SCHEMA) by each of KINDS; days are those of `zone`."""
    ended = pl.from_epoch("end_at").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    billed, difference = pl.col("billed_micro").is_not_null(), pl.col("cost_micro") - pl.col("was_cost_micro")
    asked = pl.col("ended") & (True if since is None else pl.col("end_at") >= int(since.timestamp()))
    jobs = rated.filter(asked).select(
        pl.lit("").alias("all"), "tier", pl.col("account_name").alias("account"), ended.dt.strftime("%Y-%m-%d").alias("day"), "payer",
        jobs=pl.lit(1, pl.Int64), changed_jobs=(difference != 0).cast(pl.Int64), before_micro="was_cost_micro", after_micro="cost_micro",
        receipted_jobs=billed.cast(pl.Int64), receipted_difference_micro=billed.cast(pl.Int64) * difference)
    return pl.concat([exact_sums(jobs, pl.col(kind).alias("name")).select(pl.lit(kind).alias("kind"), "name", *SUMS) for kind in KINDS])


def exact_sums(rows: pl.DataFrame, *keys: str | pl.Expr) -> pl.DataFrame:
    """SUMS by `keys`, added in 128 bits: polars wraps 64 without a word. A MoneyError where one does not fit."""
    try:
        return rows.group_by(*keys).agg(pl.col(SUMS).cast(pl.Int128).sum().cast(pl.Int64))
    except pl.exceptions.InvalidOperationError:
        raise MoneyError("The sums do not fit 64 bits: ask for a shorter time.") from None


def added(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Sums of several lots of jobs as one, by kind and name."""
    total = pl.DataFrame(schema=SUM_SCHEMA)
    for part in parts:
        total = exact_sums(pl.concat([total, part.select(*SUM_SCHEMA)]), "kind", "name")
    return total.sort("kind", "name")


@dataclass(frozen=True, slots=True)
class Effect:
    """What draft cards make of the jobs they price in [since, until): SUM_SCHEMA rows. `cards` are their names."""

    cards: tuple[str, ...]
    currency: str
    since: datetime | None
    until: datetime | None
    sums: pl.DataFrame
    receipted_known: bool = True            # False: there are too many jobs on receipts to have been told apart in passing

    def total(self, column: str) -> int:
        """The sum of one of SUMS over all jobs."""
        return int(self.sums.filter(kind="all")[column].sum())

    @property
    def jobs(self) -> int:
        """How many jobs the drafts price."""
        return self.total("jobs")

    @property
    def before_micro(self) -> int:
        """What they cost now."""
        return self.total("before_micro")

    @property
    def after_micro(self) -> int:
        """What they would cost."""
        return self.total("after_micro")

    @property
    def difference_micro(self) -> int:
        """What would change."""
        return self.after_micro - self.before_micro

    def by(self, kind: str) -> pl.DataFrame:
        """Sums by tier, account, day or payer, with `difference_micro`; days in order, the others by the largest difference."""
        rows = self.sums.filter(kind=kind).drop("kind").with_columns(difference_micro=pl.col("after_micro") - pl.col("before_micro"))
        if kind == "day":
            return rows.sort("name")
        return rows.sort(pl.col("difference_micro").abs(), "name", descending=[True, False])

    def payers(self, most: int) -> pl.DataFrame:
        """Payers whose sum changes: up to `most` who pay more, then up to `most` who pay less; each the largest first."""
        rows = self.by("payer")
        return pl.concat([rows.filter(pl.col("difference_micro") > 0).head(most), rows.filter(pl.col("difference_micro") < 0).head(most)])
