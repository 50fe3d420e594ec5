"""Why a run costs what it costs, said factor by factor, and why it is or is not on a receipt. Pure: rows in, words out.

The figures are those that were kept with the charge; nothing is priced here. The exact parts and the rounding add up to
the stored cost; where amounts are shown at four decimals, the rounding row makes the shown parts add up to the shown
total. Refuses to know where rows come from and in which zone people read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from engine.charge_parts import Kind, Part, Used, extra_meter, parts
from engine.explain_time import TimePart, time_parts
from engine.explained import Explanation, Factor, Run, Weighing
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


def explain(run: Run, card: RateCard, weighing: Weighing | None = None) -> Explanation:
    """Take the charge of `run` apart by the card it carries; `weighing` is what rating says of its time and month."""
    weighing = weighing or Weighing()
    used = Used({meter: run.quantity(meter) for meter in (*METERS, extra_meter(card.policy))}, run.elapsed_seconds, run.alloc_gpus,
                gpu_models(run.alloc_tres), weighing.before)
    found = parts(card, used, weighing.factor) if run.ended else _not_yet(parts(card, used, Fraction(0)))
    found, differs = _as_stored(run, found)
    differs = "" if run.settled else differs         # charged to the second at the price that was agreed, and not by the card's rules
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
