"""Rating in plain Python, one run after the other, with fractions: slow and short, to judge the rating function by.

It shares no code with it: factors are added up quarter hour by quarter hour with zoneinfo, a month's counters are a
dictionary, a ladder is walked step by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from engine.money import MINOR_DIGITS
from engine.rates import Modifier, Policy, Price, RateCard, Rounding

UNIT = {"cpu": 3600, "gpu": 3600, "mem": 3600 * 1024, "node": 3600, "billing": 3600}
Counters = dict[tuple[str, str, tuple[int, int], str], int]     # (payer, line, (year, month), meter or gpu:model) → base quantity


def reference(rows: Iterable[dict[str, object]], cards: Sequence[RateCard], policy: Policy | None = None,
              counters: Counters | None = None) -> dict[str, dict[str, object]]:
    """Charges by run key. `counters` are what was used before, and are moved on."""
    counters = {} if counters is None else counters
    ordered = sorted(rows, key=lambda row: (row["end_at"] or 0, row["run_key"]))
    return {str(row["run_key"]): _charge(row, _card(row, cards), policy, counters) for row in ordered}


def _card(row: dict[str, object], cards: Sequence[RateCard]) -> RateCard:
    moment = next(row[name] for name in ("end_at", "start_at", "submit_at") if row[name] is not None)
    begun = [card for card in cards if card.valid_from.timestamp() <= moment]
    for line in (f"project:{row['account_name']}", row["tier"]):
        own = [card for card in begun if card.line == line]
        if own:
            return max(own, key=lambda card: (card.valid_from, card.version))
    raise LookupError(row["run_key"])


def _charge(row: dict[str, object], card: RateCard, policy: Policy | None, counters: Counters) -> dict[str, object]:
    rule = policy or card.policy
    quantities, sold = _quantities(row, card, rule)
    exact = dict.fromkeys(("cpu", "gpu", "mem", "extra"), Fraction(0))
    weight, over = (1, 1)
    if row["ended"]:
        weight, over = factor(card.modifiers, card.time_zone, *_span(row))
        for meter, model, quantity in sold:
            exact["extra" if meter in ("node", "billing") else meter] += _price(row, card, counters, meter, model, quantity)
    if rule is Policy.BILLING_TRES:
        exact |= {"cpu": Fraction(0), "gpu": Fraction(0), "mem": Fraction(0)}
    if rule is Policy.MAX_OF:
        dearest = max(exact, key=lambda meter: exact[meter])
        exact = {meter: amount if meter == dearest else Fraction(0) for meter, amount in exact.items()}
    exact = {meter: amount * weight / over for meter, amount in exact.items()}
    cut = {f"{meter}_micro": int(amount) for meter, amount in exact.items()}
    step = 10 ** (6 - MINOR_DIGITS[card.currency]) if card.rounding is Rounding.PER_JOB_MINOR else 1
    cost = int(sum(exact.values()) / step + Fraction(1, 2)) * step
    return {"rate_card": card.name, "policy": str(rule), "currency": card.currency, **quantities, **cut,
            "rounding_micro": cost - sum(cut.values()), "cost_micro": cost}


def _quantities(row: dict[str, object], card: RateCard, rule: Policy) -> tuple[dict[str, int], list[tuple[str, str, int]]]:
    """The charge's quantities, and (meter, model, base quantity) of everything that is sold."""
    elapsed = row["elapsed_seconds"]
    used = rule is Policy.USED
    cpu = row["cpu_used_core_seconds"] if used else row["alloc_cpus"] * elapsed
    mem = row["mem_used_mib_seconds"] if used else row["alloc_mem_mib"] * elapsed
    said = dict(part.split("=") for part in str(row["alloc_tres"]).split(",") if part)
    models = {price.model for price in card.prices if price.model}
    typed = {name[9:].lower(): int(count) for name, count in said.items() if name.startswith("gres/gpu:") and name[9:].lower() in models}
    if sum(typed.values()) > row["alloc_gpus"]:
        typed = {}
    meter = "billing" if rule is Policy.BILLING_TRES else "node"
    extra = int(said[meter]) * elapsed if any(price.meter == meter for price in card.prices) and elapsed else 0
    gpus = [("gpu", model, count * elapsed) for model, count in typed.items()]
    rest = ("gpu", "", (row["alloc_gpus"] - sum(typed.values())) * elapsed)
    return ({"cpu_core_seconds": cpu, "gpu_seconds": row["alloc_gpus"] * elapsed, "mem_mib_seconds": mem, "extra_seconds": extra},
            [("cpu", "", cpu), *gpus, rest, ("mem", "", mem), (meter, "", extra)])


def _price(row: dict[str, object], card: RateCard, counters: Counters, meter: str, model: str, quantity: int) -> Fraction:
    local = _local(card.time_zone, row["end_at"])
    key = (str(row.get("payer")), card.line, (local.year, local.month), f"{meter}:{model}" if model else meter)
    before = counters.get(key, 0)
    counters[key] = before + quantity
    price = next((price for price in card.prices if (price.meter, price.model) == (meter, model)), None)
    if price is None or not quantity:
        return Fraction(0)
    if len(price.steps) == 1 and not price.package and not price.steps[0].flat_micro:
        return Fraction(quantity * price.steps[0].micro_per_unit, UNIT[meter])
    return month_price(price, before + quantity) - month_price(price, before)


def month_price(price: Price, quantity: int) -> Fraction:
    """What `quantity` base quantities of a month cost altogether."""
    units = Fraction(quantity, UNIT[price.meter])
    if price.package:
        return Fraction(-(-units // price.package) * price.steps[0].micro_per_unit)
    total = Fraction(0)
    for step, following in zip(price.steps, (*price.steps[1:], None), strict=True):
        if units > step.above:
            upto = units if following is None else min(units, Fraction(following.above))
            total += (upto - step.above) * step.micro_per_unit + step.flat_micro
    return total


def _span(row: dict[str, object]) -> tuple[int, int]:
    end = row["end_at"]
    start = row["start_at"] if row["start_at"] is not None else end
    return min(max(start, row["submit_at"] if row["submit_at"] is not None else start), end), end


@cache
def factor(modifiers: tuple[Modifier, ...], zone: str, start: int, end: int) -> tuple[int, int]:
    """The factor of [start, end) as a fraction: parts per million × seconds over millions of seconds."""
    if start == end:
        return quarter(modifiers, zone, end // 900), 10**6
    total = 0
    for slot in range(start // 900, -(-end // 900)):
        total += quarter(modifiers, zone, slot) * (min(end, slot * 900 + 900) - max(start, slot * 900))
    return total, (end - start) * 10**6


@cache
def quarter(modifiers: tuple[Modifier, ...], zone: str, slot: int) -> int:
    """The factor of one quarter hour in parts per million."""
    ppm = 10**6
    for one in modifiers:
        if _holds(one, slot * 900, _local(zone, slot * 900)):
            ppm = ppm * one.factor_ppm // 10**6
    return ppm


def _holds(one: Modifier, instant: int, local: datetime) -> bool:
    if one.hours:
        start, end, minute = *one.hours, local.hour * 60 + local.minute
        if not (start <= minute < end if start < end else minute >= start or minute < end):
            return False
    if one.weekdays and local.weekday() not in one.weekdays:
        return False
    if one.dates and local.date() not in one.dates:
        return False
    return not one.spans or any(start.timestamp() <= instant < end.timestamp() for start, end in one.spans)


@cache
def _local(zone: str, instant: int) -> datetime:
    return datetime.fromtimestamp(instant, ZoneInfo(zone))
