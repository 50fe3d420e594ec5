"""Why a run costs what it costs, said factor by factor, and why it is or is not on a receipt. Pure: rows in, words out.

The figures are those that were kept with the charge; nothing is priced here. The exact parts and the rounding add up to
the stored cost; where amounts are shown at four decimals, the rounding row makes the shown parts add up to the shown
total. Refuses to know where rows come from and in which zone people read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.meters import RUN_METERS
from engine.money import amount_text, exact_text
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
    """One row of an explanation: `quantity` in the meter's smallest unit, `quantity_micro` in millionths of `unit`;
    `amount_micro` exact, `shown_micro` the same at four decimals."""

    meter: str
    source: str                         # columns: AllocTRES gres/gpu × ElapsedRaw
    figures: str                        # the same with what they say: AllocTRES gres/gpu=1 × ElapsedRaw 7,200 s
    quantity: int
    quantity_micro: int
    unit: str
    price_micro: int
    amount_micro: int
    shown_micro: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A charge taken apart: the exact parts and `rest_micro` add up to the total, so do the shown ones and `rounding_micro`."""

    factors: tuple[Factor, ...]
    rest_micro: int                     # what the rounding rule and the cut to micro-units added, as it is stored
    rounding_micro: int                 # the same beside amounts at four decimals
    total_micro: int
    currency: str
    card: str


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
        return next((one for one in self.receipts if one.live), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a job: its runs, newest first, and lines of it that could not be read. `reasons` are those of the
    newest run; where there is none, why nothing is known."""

    asked: str
    runs: tuple[Explained, ...]
    rejected: tuple[Rejected, ...] = ()
    complete: tuple[Complete, ...] = ()
    reasons: tuple[Because, ...] = ()


def explain(run: Run, card: RateCard) -> Explanation:
    """Take the charge of `run` apart by the card it carries."""
    factors = tuple(_factor(run, card, meter) for meter in meters(run))
    rest = run.cost_micro - sum(factor.shown_micro for factor in factors)
    return Explanation(factors, run.rounding_micro, rest, run.cost_micro, run.currency, card.name)


def meters(run: Run) -> tuple[str, ...]:
    """The meters of a run's price: with its nodes, or Slurm's billing units, where these are charged."""
    extra = "billing" if run.policy == Policy.BILLING_TRES else "node"
    return (*METERS, extra) if run.extra_seconds or run.extra_micro else METERS


def _factor(run: Run, card: RateCard, meter: str) -> Factor:
    quantity, amount = run.quantity(meter), run.amount_micro(meter)
    return Factor(meter, source(run, meter), figures(run, meter), quantity, _nearest(quantity * 1_000_000, UNIT_SIZE[meter]),
                  METER_UNITS[meter], card.price_micro(meter), amount, _nearest(amount, SHOWN_STEP) * SHOWN_STEP)


def source(run: Run, meter: str) -> str:
    """Which columns of the source the quantity of `meter` comes from."""
    if meter == "gpu":
        return "AllocTRES gres/gpu × ElapsedRaw"
    if run.policy != Policy.USED or meter in ("node", "billing"):
        return f"AllocTRES {meter} × ElapsedRaw"
    return run.cpu_used_from if meter == "cpu" else run.mem_used_from


def figures(run: Run, meter: str) -> str:
    """The source's columns with what they say of this run."""
    column = source(run, meter)
    words = {"steps TotalCPU": "TotalCPU of its steps", "job TotalCPU": "TotalCPU of the job",
             "steps AveRSS × Elapsed": "AveRSS of its steps × their Elapsed"}
    if column in words:
        return words[column]
    pattern = {"cpu": r"cpu=", "gpu": r"gres/gpu(?::[^=,]+)?=", "mem": r"mem="}.get(meter, f"{meter}=")
    named = [part for part in run.alloc_tres.split(",") if re.match(pattern, part)]
    text = ",".join(named) or f"{column.split(' ')[1]}: none"
    return f"AllocTRES {text} × ElapsedRaw {run.elapsed_seconds:,} s"


def reasons(run: Run, explanation: Explanation, receipts: Sequence[OnReceipt]) -> tuple[Because, ...]:
    """Why this run is charged or not: what bills it, then why it costs nothing where it does. The first one decides."""
    if not run.ended:
        return (Because(Reason.RUNNING, "It is still running: it is priced when it ends.") if run.start_at else
                Because(Reason.PENDING, "It waits for its turn: what has not started has used nothing."),)
    nothing = _costs_nothing(run, explanation) if run.cost_micro == 0 else None
    billed = _billed(run, receipts)
    if nothing is None:
        return (billed,)
    return (nothing,) if billed.reason is Reason.UNBILLED else (billed, nothing)


def _billed(run: Run, receipts: Sequence[OnReceipt]) -> Because:
    live = next((one for one in receipts if one.live), None)
    if live and run.billed_micro is not None:
        owed = run.cost_micro - run.billed_micro
        return Because(Reason.CORRECTED, f"{_on(live)} {_since(run, live, owed)}") if owed else Because(Reason.ON_RECEIPT, _on(live))
    void = next((one for one in receipts if one.status == "void"), None)
    if void:
        return Because(Reason.RECEIPT_VOID, f"It was on receipt {void.number}, which was voided: it is unbilled again, "
                                            "the next receipt takes it.")
    return Because(Reason.UNBILLED, "It is not billed yet: the next receipt takes it.")


def _on(live: OnReceipt) -> str:
    return f"It is on receipt {live.number} ({live.status})."


def _since(run: Run, live: OnReceipt, owed: int) -> str:
    what = "usage was corrected" if run.revision > live.revision else "price was changed"
    verb = "adds" if owed > 0 else "takes off"
    return f"Its {what} since: the next receipt {verb} {amount_text(abs(owed), run.currency)} {run.currency}."


def _costs_nothing(run: Run, explanation: Explanation) -> Because:
    if run.elapsed_seconds == 0:
        return Because(Reason.NOT_RUN, "It ended before it ran: nothing was used, so it costs nothing.")
    used = [factor for factor in explanation.factors if factor.quantity]
    if not used:
        return Because(Reason.NOTHING_USED, f"It ran, but by policy {run.policy} nothing that is billed was measured, "
                                            "so it costs nothing.")
    if not any(factor.price_micro for factor in used):
        return Because(Reason.ZERO_RATE, f"Card {explanation.card} prices what it used at zero, so it costs nothing.")
    return Because(Reason.BELOW_SMALLEST_COIN, "What it used is less than the smallest coin, so it costs nothing.")


def unknown(job: str, cluster: str, rejected: Sequence[Rejected], complete: Sequence[Complete], moments: Sequence[str]) -> Because:
    """Why nothing is known of `job`. `moments` says the instants of `complete` in words."""
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
                                   "that it may still come, if earlier the source did not have it.")


def disagreement(run: Run, priced: dict[str, object]) -> str:
    """How the stored charge differs from `priced`, what the rating function makes of the record now; empty when it does not."""
    apart = [f"{name} is stored as {getattr(run, name)}, the rating function makes {value}"
             for name, value in priced.items() if getattr(run, name) != value]
    return "; ".join(apart)


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
    """`TotalCPU of its steps = 15,120 core-seconds = 4.2 core-hours`."""
    return (f"{factor.figures} = {factor.quantity:,} {BASE_UNITS[factor.meter]}"
            f" = {decimal(factor.quantity, UNIT_SIZE[factor.meter])} {factor.unit}s")


def product(factor: Factor, currency: str) -> str:
    """`4.2 core-hours × 3.00 = 12.60 THB`."""
    return (f"{decimal(factor.quantity, UNIT_SIZE[factor.meter])} {factor.unit}s × {exact_text(factor.price_micro)}"
            f" = {exact_text(factor.amount_micro)} {currency}")


def newest_first(runs: Iterable[Run]) -> list[Run]:
    """Runs of one job, the one submitted (then started) last first."""
    return sorted(runs, key=lambda run: (run.submit_at, run.start_at or run.submit_at, run.run_key), reverse=True)


def _nearest(number: int, step: int) -> int:
    return (2 * number + step) // (2 * step)
