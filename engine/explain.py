"""Why a run costs what it costs, said factor by factor, and why it is or is not on a receipt. Pure: rows in, words out.

The figures are those that were kept with the charge; nothing is priced here. The exact parts and the rounding add up to
the stored cost; where amounts are shown at four decimals, the rounding row makes the shown parts add up to the shown
total. Refuses to know where rows come from and in which zone people read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

from engine.charge_parts import Kind, Part, Used, extra_meter, parts
from engine.explain_time import TimePart, time_parts
from engine.ladders import is_ladder
from engine.meters import RUN_METERS
from engine.money import exact_text, nearest
from engine.rates import METER_UNITS, METERS, Policy, RateCard, Rounding

UNIT_SIZE = {str(meter): meter.unit_size for meter in RUN_METERS}
BASE_UNITS = {str(meter): meter.base for meter in RUN_METERS}
METER_NAMES = {"cpu": "CPU", "gpu": "GPU", "mem": "Memory", "node": "Nodes", "billing": "Billing units"}
SHOWN_STEP = 100                                                     # micro-units in the fourth decimal
ROUNDING_WORDS = {Rounding.PER_JOB_MINOR: "per job, to the smallest coin",
                  Rounding.PER_RECEIPT_MINOR: "per receipt, to the smallest coin"}


class Reason(StrEnum):
    """Why a run is charged as it is, or is not: the code that stands beside the sentence."""

    PENDING = "pending"
    """It has not started."""
    RUNNING = "running"
    """It has not ended."""
    ON_RECEIPT = "on_receipt"
    """A receipt bills it at its present price."""
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


def explain(run: Run, card: RateCard, weighing: Weighing | None = None) -> Explanation:
    """Take the charge of `run` apart by the card it carries; `weighing` is what rating says of its time and month."""
    weighing = weighing or Weighing()
    used = Used({meter: run.quantity(meter) for meter in (*METERS, extra_meter(card.policy))}, run.elapsed_seconds, run.alloc_gpus,
                gpu_models(run.alloc_tres), weighing.before)
    found = parts(card, used, weighing.factor) if run.ended else _not_yet(parts(card, used, Fraction(0)))
    found, differs = _as_stored(run, found)
    factors = tuple(_factor(run, part) for part in found)
    rest = run.cost_micro - sum(factor.shown_micro for factor in factors)
    laddered = any(is_ladder(price) for price in card.prices)
    return Explanation(factors, run.rounding_micro, rest, run.cost_micro, run.currency, card.name, weighing, _times(run, card),
                       _month(run, card) if laddered and run.ended else "", differs)


def _not_yet(found: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(replace(part, added=True, amount_micro=0) for part in found)


def _as_stored(run: Run, found: tuple[Part, ...]) -> tuple[tuple[Part, ...], str]:
    """The parts with amounts that add up to what is stored of each meter, and where they did not by themselves."""
    differs, mended = [], list(found)
    for meter in dict.fromkeys(part.meter for part in found):
        made = sum(part.amount_micro for part in found if part.meter == meter)
        last = max(number for number, part in enumerate(found) if part.meter == meter)
        if made != run.amount_micro(meter):
            differs.append(f"{meter} is stored as {run.amount_micro(meter)}, its card makes {made}")
            mended[last] = replace(mended[last], amount_micro=mended[last].amount_micro + run.amount_micro(meter) - made)
    return tuple(mended), "; ".join(differs)


def _factor(run: Run, part: Part) -> Factor:
    cut = part.exact.numerator // part.exact.denominator
    return Factor(part, label(part), source(run, part.meter), figures(run, part.meter, part.model), _unit(part), cut,
                  nearest(part.amount_micro, SHOWN_STEP) * SHOWN_STEP)


def _unit(part: Part) -> str:
    return {Kind.UNITS: METER_UNITS[part.meter], Kind.ONCE: "time", Kind.PACKAGES: "package"}[part.kind]


def label(part: Part) -> str:
    """`CPU`, `GPU a100`, `CPU, free 100`, `CPU, first 1,000`, `CPU, over 1,000`, `CPU, once over 1,000`, `CPU, packages`."""
    name = f"{METER_NAMES[part.meter]} {part.model}".strip()
    if part.kind is Kind.PACKAGES:
        return f"{name}, packages"
    if part.above is None:
        return name
    if part.kind is Kind.ONCE:
        return f"{name}, once over {part.above:,}"
    if part.above == 0 and part.upto is not None:
        return f"{name}, {'first' if part.price_micro else 'free'} {part.upto:,}"
    return f"{name}, over {part.above:,}"


def begun(run: Run) -> datetime | None:
    """Where its elapsed time is counted from: a resized run of old Slurm keeps the first Start, but begins at its Submit."""
    start = run.start_at or run.end_at
    return None if start is None or run.end_at is None else min(max(start, run.submit_at), run.end_at)


def _times(run: Run, card: RateCard) -> tuple[TimePart, ...]:
    begin = begun(run)
    return time_parts(card, int(begin.timestamp()), int(run.end_at.timestamp())) if run.ended and begin and run.end_at else ()


def _month(run: Run, card: RateCard) -> str:
    return f"{run.end_at.astimezone(ZoneInfo(card.time_zone)):%Y-%m}" if run.end_at else ""


def gpu_models(alloc_tres: str) -> dict[str, int]:
    """GPUs by model: `gres/gpu:a100=2,gres/gpu=2` is two of a100."""
    found: dict[str, int] = {}
    for model, count in re.findall(r"(?:^|,)gres/gpu:([^=,]+)=([0-9]+)", alloc_tres):
        found[model.lower()] = found.get(model.lower(), 0) + int(count)
    return found


def source(run: Run, meter: str) -> str:
    """Which columns of the source the quantity of `meter` comes from."""
    if meter == "gpu":
        return "AllocTRES gres/gpu × ElapsedRaw"
    if run.policy != Policy.USED or meter in ("node", "billing"):
        return f"AllocTRES {meter} × ElapsedRaw"
    return run.cpu_used_from if meter == "cpu" else run.mem_used_from


def figures(run: Run, meter: str, model: str = "") -> str:
    """The source's columns with what they say of this run."""
    column = source(run, meter)
    words = {"steps TotalCPU": "TotalCPU of its steps", "job TotalCPU": "TotalCPU of the job",
             "steps AveRSS × Elapsed": "AveRSS of its steps × their Elapsed"}
    if column in words:
        return words[column]
    pattern = {"gpu": rf"gres/gpu:{re.escape(model)}=" if model else r"gres/gpu(?::[^=,]+)?="}.get(meter, f"{meter}=")
    named = [part for part in run.alloc_tres.split(",") if re.match(pattern, part, re.IGNORECASE)]
    text = ",".join(named) or f"{column.split(' ')[1]}: none"
    return f"AllocTRES {text} × ElapsedRaw {run.elapsed_seconds:,} s"


def disagreement(run: Run, priced: dict[str, object]) -> str:
    """How the stored charge differs from `priced`, what the rating function makes of the record now; empty when it does not."""
    apart = [f"{name} is stored as {getattr(run, name)}, the rating function makes {value}"
             for name, value in priced.items() if getattr(run, name) != value]
    return "; ".join(apart)


def main_receipt(receipts: Sequence[OnReceipt]) -> OnReceipt | None:
    """Of the receipts a run stands on the live one with its usage; the others hold adjustments."""
    live = [one for one in receipts if one.live]
    return next((one for one in live if one.kind == "usage"), live[0] if live else None)


def billing_state(ended: bool, started: bool, cost_micro: int, billed_micro: int | None) -> str:
    """billed, unbilled, corrected (billed at another price), running or pending."""
    if not ended:
        return "running" if started else "pending"
    if billed_micro is None:
        return "unbilled"
    return "billed" if billed_micro == cost_micro else "corrected"


def decimal(number: int, size: int, most: int = 6) -> str:
    """`number` / `size` with as many decimals as it has, at most `most`; `…` where it goes on: 4.2, 0.333333…"""
    scaled, rest = divmod(number * 10**most, size)
    text = f"{scaled // 10**most:,}.{scaled % 10**most:0{most}d}".rstrip("0").rstrip(".")
    return f"{text}{'…' if rest else ''}"


def measured(factor: Factor) -> str:
    """`TotalCPU of its steps = 15,120 core-seconds = 4.2 core-hours`; of a step of a ladder, what of it lies there."""
    if factor.part.kind is not Kind.UNITS:
        return factor.figures
    return f"{counted_words(factor)} = {decimal(factor.part.quantity, factor.part.size)} {factor.unit}s"


def counted_words(factor: Factor) -> str:
    """`TotalCPU of its steps = 15,120 core-seconds`."""
    within = "" if factor.part.above is None else ", of which here"
    return f"{factor.figures}{within} = {factor.part.quantity:,} {BASE_UNITS[factor.part.meter]}"


def product(factor: Factor, time: Fraction, currency: str) -> str:
    """`4.2 core-hours × 3.00 × 1.2 = 15.12 THB`; the third figure is the time factor, where it is not 1."""
    weighed = "" if time == 1 else f" × {decimal(time.numerator, time.denominator)}"
    units = f"{decimal(factor.part.quantity, factor.part.size)} {factor.unit}{'s' if factor.part.kind is Kind.UNITS else ''}"
    amount = factor.amount_micro if factor.part.added else factor.would_micro
    left = "" if factor.part.added else ", not added"
    return f"{units} × {exact_text(factor.price_micro)}{weighed} = {exact_text(amount)} {currency}{left}"


def newest_first(runs: Iterable[Run]) -> list[Run]:
    """Runs of one job, the one submitted (then started) last first."""
    return sorted(runs, key=lambda run: (run.submit_at, run.start_at or run.submit_at, run.run_key), reverse=True)
