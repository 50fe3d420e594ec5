"""A quote in words: what is asked for, how its price is meant, and what of a month is counted. Pure; prices nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.explain import UNIT_SIZE, decimal
from engine.ladders import is_ladder
from engine.meters import RUN_METERS
from engine.money import amount_text, exact_text, minor_micro
from engine.rates import METER_UNITS, Policy, Price, RateCard, Rounding
from engine.sbatch import Request
from engine.slurm_values import memory_text
from engine.wallets import Cover


def asked_words(asked: Request) -> str:
    """What is asked for: `16 CPUs, 2 GPUs (a100), 128G of memory, for 2 days`."""
    gpus = " and ".join(f"{count(number, 'GPU')}{f' ({model})' if model else ''}" for model, number in asked.gpus)
    parts = [count(asked.cpus, "CPU"), gpus, f"{memory_text(asked.mem_mib)} of memory" if asked.mem_mib else "",
             f"on {asked.nodes:,} nodes" if asked.nodes > 1 else "", f"for {span_words(asked.seconds)}"]
    times = f"{asked.count:,} × " if asked.count > 1 else ""
    return times + ", ".join(part for part in parts if part)


def count(number: int, what: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def span_words(seconds: int) -> str:
    """`2 days`, `1 day 6 h 30 min`, `40 s`."""
    days, rest = divmod(seconds, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    parts = [count(days, "day") if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(part for part in parts if part) or f"{seconds} s"


def cover_words(cover: Cover) -> str:
    """`1,200.00 THB available now; the quote would leave 200.00 THB.`, or how much is missing, and with what is owed already."""
    def money(micro: int) -> str:
        return f"{price_text(micro, cover.wallet.currency)} {cover.wallet.currency}"
    frozen = f", {money(cover.wallet.frozen_micro)} frozen" if cover.wallet.frozen_micro else ""
    said = f"{money(cover.wallet.available_micro)} available now{frozen}; "
    said += f"the quote would leave {money(cover.left_micro)}" if cover.covers else f"{money(cover.missing_micro)} missing"
    if cover.missing_with_owed_micro > cover.missing_micro:
        said += f"; with what is owed already {money(cover.missing_with_owed_micro)} missing"
    return f"{said}."


def price_text(micro: int, currency: str) -> str:
    """To the smallest coin, or exactly where that would cut something off."""
    return exact_text(micro) if micro % minor_micro(currency) else amount_text(micro, currency)


def quantity_text(micro: int) -> str:
    """Millionths of a unit as short as they are exact: `768`, `4.2`, `0.016667`."""
    return decimal(micro, 10**6)


def ladder_words(price: Price, before: int) -> str:
    """`the first 100 core-hours of a month free, then 3.00; 40 used before it in its month`; `before` in base quantities."""
    unit = METER_UNITS[price.meter]
    used = f"; {decimal(before, UNIT_SIZE[price.meter], 2)} used before it in its month"
    if price.package:
        return f"in whole packages of {price.package:,} {unit}s{used}"
    ends = [f"up to {later.above:,}" for later in price.steps[1:]] + ["then" if len(price.steps) > 1 else "all"]
    ends[0] = ends[0].replace("up to", "the first") + (f" {unit}s of a month" if len(price.steps) > 1 else "")
    said = [f"{end} {exact_text(step.micro_per_unit) if step.micro_per_unit else 'free'}"
            + (f" and {exact_text(step.flat_micro)} once" if step.flat_micro else "") for end, step in zip(ends, price.steps, strict=True)]
    return f"{', '.join(said)}{used}"


def notes(asked: Request, card: RateCard, other_gpus: bool) -> Iterable[str]:
    """How the price is meant; `other_gpus` is True where one of those is offered."""
    if card.policy is Policy.USED:
        yield "The policy bills what is used: this is the most it costs, if all CPUs, GPUs and memory are used for the whole time."
    else:
        yield "The policy bills what is set aside for as long as it runs: this is the most it costs, if it takes all its time."
    if card.policy is Policy.MAX_OF:
        yield "Of the meters only the dearest costs."
    if card.rounding is Rounding.PER_RECEIPT_MINOR:
        yield "The card rounds the receipt, not each job: the total is exact to the millionth."
    if asked.count > 1:
        yield f"{asked.count:,} tasks" + (f", {asked.at_once:,} at a time, one round after the other." if asked.at_once else
                                          ", taken to start together.")
    if card.commitment_micro:
        yield (f"The card has a minimum of {amount_text(card.commitment_micro, card.currency)} {card.currency} a month; "
               "this job counts towards it.")
    if other_gpus:
        yield "Another GPU is priced for the same time; it may need more of it."


def month_notes(card: RateCard, end: datetime, now: datetime | None) -> Iterable[str]:
    """What of the month the job ends in is counted as used before it: known up to `now`, None where it is nobody's."""
    if not any(is_ladder(price) for price in card.prices if price.meter in RUN_METERS):
        return
    zone = ZoneInfo(card.time_zone)
    month = f"{end.astimezone(zone):%B %Y}"
    if now is None:
        yield f"Nothing is counted as used before it in {month}: say whose job it is to count what they used."
    elif end < now:
        yield f"Of {month} what had ended before it is counted."
    elif now.astimezone(zone).date().replace(day=1) == end.astimezone(zone).date().replace(day=1):
        yield "Of this month what has ended so far is counted; what still runs may use up quota before this job does."
    else:
        yield f"It ends in {month}, which begins with nothing used: what is used of it before this job is not known yet."
