"""The nouns of an explanation: a run as it is kept, the records around it, and its charge taken apart, factor by factor.

Refuses to know how a charge is taken apart, and in which words people read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from engine.charge_parts import Part
from engine.explain_time import TimePart
from engine.money import nearest
from engine.rates import RateCard


class Reason(StrEnum):
    """Why a run is charged as it is, or is not: the code that stands beside the sentence."""

    PENDING = "pending"
    """It has not started."""
    RUNNING = "running"
    """It has not ended."""
    ON_RECEIPT = "on_receipt"
    """A receipt bills it at its present price."""
    PAID_AS_IT_RAN = "paid_as_it_ran"
    """A wallet paid it while it ran."""
    CORRECTED = "corrected"
    """A receipt bills it at another price: the next one takes the difference."""
    RECEIPT_VOID = "receipt_void"
    """The receipt that billed it was taken back."""
    UNBILLED = "unbilled"
    """It waits for the next receipt."""
    NOT_RUN = "not_run"
    """It ended before it ran."""
    NOTHING_USED = "nothing_used"
    """It ran, and nothing that is billed was measured."""
    ZERO_RATE = "zero_rate"
    """What it used is priced at zero."""
    FREE_QUOTA = "free_quota"
    """The month's free units cover it."""
    PACKAGE_BEGUN = "package_begun"
    """Packages that were begun, and paid, earlier in the month cover it."""
    ZERO_FACTOR = "zero_factor"
    """It ran at a time that costs nothing."""
    BELOW_SMALLEST_COIN = "below_smallest_coin"
    """Its price rounds to zero."""
    QUARANTINED = "quarantined"
    """A line that names it could not be read."""
    UNKNOWN = "unknown"
    """No source ever told of it."""


@dataclass(frozen=True, slots=True)
class Because:
    """One reason: its code and one plain sentence."""

    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job as it is kept: what was measured, and what was charged for it (micro-units)."""

    run_key: str
    cluster: str
    job_id: str
    job_id_raw: int
    job_name: str
    user_name: str
    account_name: str
    partition_name: str
    qos: str
    node_list: str
    state: str
    submit_at: datetime
    start_at: datetime | None
    end_at: datetime | None
    elapsed_seconds: int
    alloc_tres: str
    alloc_cpus: int
    alloc_gpus: int
    alloc_mem_mib: int
    cpu_used_core_seconds: int
    cpu_used_from: str
    mem_used_mib_seconds: int
    mem_used_from: str
    ended: bool
    revision: int
    run_id: int
    payer: str
    tier: str
    rate_card: str
    policy: str
    currency: str
    cpu_core_seconds: int
    gpu_seconds: int
    mem_mib_seconds: int
    extra_seconds: int
    cpu_micro: int
    gpu_micro: int
    mem_micro: int
    extra_micro: int
    rounding_micro: int
    cost_micro: int
    billed_micro: int | None
    settled: bool = False       # paid from a wallet as it ran

    def quantity(self, meter: str) -> int:
        """What is billed of `meter`, in its smallest unit."""
        return {"cpu": self.cpu_core_seconds, "gpu": self.gpu_seconds, "mem": self.mem_mib_seconds}.get(meter, self.extra_seconds)

    def amount_micro(self, meter: str) -> int:
        """What that costs, cut to micro-units."""
        return {"cpu": self.cpu_micro, "gpu": self.gpu_micro, "mem": self.mem_micro}.get(meter, self.extra_micro)


@dataclass(frozen=True, slots=True)
class OnReceipt:
    """A receipt a run stands on, with what its line there says."""

    receipt_id: str
    number: str
    status: str
    kind: str
    live: bool
    revision: int
    cost_micro: int
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Brought:
    """The ingest run that wrote the present revision of a run."""

    run_id: int
    source: str
    origin: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """What a run said before a correction replaced it; `run_id` is the ingest run that had brought it."""

    revision: int
    run_id: int
    replaced_at: datetime
    replaced_by: int
    was: dict[str, object]


@dataclass(frozen=True, slots=True)
class TierSince:
    """Since when a payer has a tier, and who gave it; nobody did where it is the one that new payers begin at."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line of an ingest run that could not be read and that no later run read well."""

    run_id: int
    source: str
    origin: str
    started_at: datetime
    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Up to when the usage of a cluster is complete."""

    cluster: str
    complete_to: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Factor:
    """One row of an explanation: one price that was applied, with where its quantity comes from.

    `amount_micro` is exact, `shown_micro` the same at four decimals; where it is not added (policy max_of) both are 0 and
    `would_micro` says what it would have cost."""

    part: Part
    label: str                          # GPU a100 · CPU, over 1,000
    source: str                         # columns: AllocTRES gres/gpu × ElapsedRaw
    figures: str                        # the same with what they say: AllocTRES gres/gpu=1 × ElapsedRaw 7,200 s
    unit: str
    would_micro: int
    shown_micro: int

    @property
    def meter(self) -> str:
        """Which meter."""
        return self.part.meter

    @property
    def price_micro(self) -> int:
        """Micro-units a unit."""
        return self.part.price_micro

    @property
    def amount_micro(self) -> int:
        """What it adds to the cost."""
        return self.part.amount_micro

    @property
    def quantity_micro(self) -> int:
        """Millionths of the unit, rounded."""
        return nearest(self.part.quantity * 1_000_000, self.part.size)


@dataclass(frozen=True, slots=True)
class Weighing:
    """What rating says beside a charge: the time factor is `weighted_ppm_seconds` / (`span_seconds` × 10⁶); `before` is what
    the payer had used in the month before this run, in base quantities by counter (cpu, gpu, gpu:a100), empty without ladders."""

    weighted_ppm_seconds: int = 1_000_000
    span_seconds: int = 1
    before: Mapping[str, int] = field(default_factory=dict)

    @property
    def factor(self) -> Fraction:
        """What the run's time multiplies its price with."""
        return Fraction(self.weighted_ppm_seconds, self.span_seconds * 1_000_000)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A charge taken apart: the exact parts and `rest_micro` add up to the total, so do the shown ones and `rounding_micro`.

    `differs` is empty, or says where the card's own arithmetic makes something else than what is stored."""

    factors: tuple[Factor, ...]
    rest_micro: int                     # what the rounding rule and the cut to micro-units added, as it is stored
    rounding_micro: int                 # the same beside amounts at four decimals
    total_micro: int
    currency: str
    card: str
    weighing: Weighing
    times: tuple[TimePart, ...]         # which modifiers held for how long; none without modifiers
    month: str                          # 2026-10 where prices depend on the month before, else nothing
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything known of one run: its charge taken apart, the card, and the records around it.

    `disagrees` is empty, or says how the stored charge differs from what the rating function makes of the record."""

    run: Run
    explanation: Explanation
    card: RateCard
    reasons: tuple[Because, ...]
    receipts: tuple[OnReceipt, ...] = ()
    brought: Brought | None = None
    revisions: tuple[Revision, ...] = ()
    tier_since: TierSince | None = None
    disagrees: str = ""

    @property
    def live(self) -> OnReceipt | None:
        """The receipt that bills it now."""
        return main_receipt(self.receipts)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a job: its runs, newest first, and lines of it that could not be read. `reasons` are those of the
    newest run; where there is none, why nothing is known."""

    asked: str
    runs: tuple[Explained, ...]
    rejected: tuple[Rejected, ...] = ()
    complete: tuple[Complete, ...] = ()
    reasons: tuple[Because, ...] = ()


def main_receipt(receipts: Sequence[OnReceipt]) -> OnReceipt | None:
    """Of the receipts a run stands on the live one with its usage; the others hold adjustments."""
    live = [one for one in receipts if one.live]
    return next((one for one in live if one.kind == "usage"), live[0] if live else None)
