"""Why a run costs what it costs, said factor by factor, and why it is or is not on a receipt. Pure: rows in, words out.

The figures are those that were kept with the charge; nothing is priced here. Shown amounts have four decimals, and the
rounding row is what makes exactly the shown parts add up to the shown total.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.money import amount_text
from engine.rates import METER_UNITS, METERS, Policy, RateCard, Rounding

UNIT_SIZE = {"cpu": 3600, "gpu": 3600, "mem": 3600 * 1024}           # core-seconds, GPU-seconds, MiB-seconds
SHOWN_STEP = 100                                                     # micro-units in the fourth decimal
ROUNDING_WORDS = {Rounding.PER_JOB_MINOR: "per job, to the smallest coin",
                  Rounding.PER_RECEIPT_MINOR: "per receipt, to the smallest coin"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job as it is kept: what was measured, and what was charged for it (micro-units)."""

    run_key: str
    cluster: str
    job_id: str
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
        return {"cpu": self.cpu_core_seconds, "gpu": self.gpu_seconds, "mem": self.mem_mib_seconds}[meter]

    def amount_micro(self, meter: str) -> int:
        """What that costs, cut to micro-units."""
        return {"cpu": self.cpu_micro, "gpu": self.gpu_micro, "mem": self.mem_micro}[meter]


@dataclass(frozen=True, slots=True)
class Factor:
    """One row of an explanation. `quantity_micro` are millionths of `unit`; `shown_micro` is the amount at four decimals."""

    meter: str
    source: str
    quantity_micro: int
    unit: str
    price_micro: int
    shown_micro: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A charge taken apart: the shown parts and the rounding row add up to the total."""

    factors: tuple[Factor, ...]
    rounding_micro: int
    total_micro: int
    currency: str
    card: str


def explain(run: Run, card: RateCard) -> Explanation:
    """Take the charge of `run` apart by the card it carries."""
    factors = tuple(
        Factor(meter, source(run, meter), _nearest(run.quantity(meter) * 1_000_000, UNIT_SIZE[meter]), METER_UNITS[meter],
               card.price_micro(meter), _nearest(run.amount_micro(meter), SHOWN_STEP) * SHOWN_STEP)
        for meter in METERS)
    rest = run.cost_micro - sum(factor.shown_micro for factor in factors)
    return Explanation(factors, rest, run.cost_micro, run.currency, card.name)


def source(run: Run, meter: str) -> str:
    """Which columns of the source the quantity of `meter` comes from."""
    if meter == "gpu":
        return "AllocTRES gres/gpu × ElapsedRaw"
    if run.policy == Policy.ALLOCATED:
        return f"AllocTRES {meter} × ElapsedRaw"
    return run.cpu_used_from if meter == "cpu" else run.mem_used_from


def why(run: Run, receipt: str | None) -> str:
    """Why this run is charged or not, in one sentence; `receipt` is the number of its live receipt."""
    if not run.ended:
        return ("It is still running: it is priced when it ends." if run.start_at else
                "It waits for its turn: what has not started has used nothing.")
    if run.billed_micro is not None and receipt:
        owed = run.cost_micro - run.billed_micro
        if owed:
            verb = "adds" if owed > 0 else "takes off"
            return (f"It is on receipt {receipt}. Its usage was corrected since: the next receipt {verb} "
                    f"{amount_text(abs(owed), run.currency)} {run.currency}.")
        return f"It is on receipt {receipt}."
    if run.elapsed_seconds == 0:
        return "It ended before it ran: nothing was used, so it costs nothing."
    if run.cost_micro == 0:
        return "What it used is less than the smallest coin, so it costs nothing."
    return "It is not billed yet: the next receipt takes it."


def billing_state(ended: bool, started: bool, cost_micro: int, billed_micro: int | None) -> str:
    """billed, unbilled, corrected (billed at another price), running or pending."""
    if not ended:
        return "running" if started else "pending"
    if billed_micro is None:
        return "unbilled"
    return "billed" if billed_micro == cost_micro else "corrected"


def _nearest(number: int, step: int) -> int:
    return (2 * number + step) // (2 * step)
