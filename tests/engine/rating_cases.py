"""Random cards and runs for tests of rating, from one seed: every policy, rounding, modifier and ladder occurs.

Few distinct spans and zones, as the plain reference adds factors up quarter hour by quarter hour.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from random import Random

import polars as pl

from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step
from engine.usage import USAGE_SCHEMA

BEGIN = 1_835_000_000                           # 2028-02-24; the runs of a case end within five weeks: leap day and DST change
SPAN = 35 * 86_400
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Asia/Bangkok", "America/St_Johns")
ACCOUNTS = ("physics", "biology", "chem")
TIERS = ("gov", "mu")
MODELS = ("a100", "h100")


def some_cards(random: Random, ladders: bool = True, modifiers: bool = True, plain: bool = False) -> list[RateCard]:
    """One to three versions of every tier's line, perhaps a project's."""
    lines = [{"tier": tier} for tier in TIERS]
    if not plain and random.random() < 0.5:
        lines.append({"tier": "", "project": "physics"})
    cards = []
    for line in lines:
        for version in range(1, random.randint(1, 3) + 1):
            start = 0 if version == 1 and line["tier"] else BEGIN + random.randint(0, SPAN)
            cards.append(RateCard(
                **line, version=version, currency=random.choice(("THB", "JPY")), valid_from=datetime.fromtimestamp(start, UTC),
                policy=random.choice(list(Policy)[:2] if plain else list(Policy)), rounding=random.choice(list(Rounding)),
                prices=_prices(random, ladders, plain), time_zone=random.choice(ZONES),
                modifiers=_modifiers(random) if modifiers and not plain else ()))
    return cards


def _prices(random: Random, ladders: bool, plain: bool) -> tuple[Price, ...]:
    prices = [_price(random, meter, "", ladders) for meter in ("cpu", "gpu", "mem")]
    if not plain:
        prices += [_price(random, meter, "", ladders) for meter in ("node", "billing") if random.random() < 0.6]
        prices += [_price(random, "gpu", model, ladders) for model in MODELS if random.random() < 0.5]
    return tuple(price for price in prices if plain or random.random() < 0.9)


def _price(random: Random, meter: str, model: str, ladders: bool) -> Price:
    kind = random.random() if ladders else 1
    if kind < 0.15:
        return Price(meter, (Step(0, random.randint(0, 10**8)),), model, random.randint(1, 50))
    if kind < 0.5:
        above = sorted(random.sample(range(1, 2000), random.randint(1, 3)))
        return Price(meter, tuple(Step(edge, random.randint(0, 10**7), random.choice((0, 0, 777_777))) for edge in (0, *above)), model)
    return Price(meter, (Step(0, random.choice((0, 1, random.randint(0, 10**8)))),), model)


def _modifiers(random: Random) -> tuple[Modifier, ...]:
    day = datetime.fromtimestamp(BEGIN, UTC).date().toordinal()
    hour = BEGIN // 3600 * 3600 + random.randint(0, 800) * 3600
    every = (
        Modifier("peak", 1_200_000, (18 * 60, 23 * 60)), Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6})),
        Modifier("off-peak", 800_000, (9 * 60, 17 * 60)), Modifier("night", 333_333, (22 * 60 + 15, 6 * 60 + 45)),
        Modifier("holiday", 500_000, dates=(date.fromordinal(day + 5), date.fromordinal(day + 6))),
        Modifier("free", 0, (12 * 60, 12 * 60 + 15), frozenset({0, 2})),
        Modifier("busy", 1_300_000, spans=((datetime.fromtimestamp(hour, UTC), datetime.fromtimestamp(hour + 2700, UTC)),)))
    return tuple(random.sample(every, random.randint(0, 4)))


def some_runs(random: Random, count: int, shapes: int = 40) -> pl.DataFrame:
    """Runs with tier and payer; `shapes` distinct spans of time."""
    spans = [_some_span(random) for _ in range(shapes)]
    texts = [_some_text(random) for _ in range(20)]
    rows = [_row(random, number, random.choice(spans), *random.choice(texts)) for number in range(count)]
    return pl.DataFrame(rows, schema=USAGE_SCHEMA | {"tier": pl.String(), "payer": pl.String()})


def _some_span(random: Random) -> tuple[int | None, int, int]:
    end = BEGIN + random.randint(0, SPAN)
    long = random.choice((0, 1, 899, 900, random.randint(1, 7200), random.randint(1, 3 * 86_400)))
    start = end - long
    kind = random.random()
    if kind < 0.05:
        return None, end - 5, end                                   # never started
    return start, start + 60 if kind < 0.1 and long > 60 else start - 30, end      # the second row of a resized run, or any other


def _some_text(random: Random) -> tuple[str, int]:
    """A text of AllocTRES and its GPUs."""
    typed = {random.choice(("a100", "H100", "v100")): random.randint(0, 4) for _ in range(random.randint(0, 2))}
    total = sum(typed.values()) + (random.randint(0, 2) if random.random() < 0.3 else 0)
    names = "".join(f",gres/gpu:{model}={count}" for model, count in typed.items())
    return f"billing={random.randint(0, 500)},cpu=4,gres/gpu={total}{names},mem=16G,node={random.randint(1, 4)}", total


def _row(random: Random, number: int, span: tuple[int | None, int, int], text: str, gpus: int) -> dict[str, object]:
    start, submit, end = span
    elapsed = end - max(start, submit) if start is not None else 0
    ended = random.random() > 0.05
    return {
        "run_key": f"c/{number:06}", "cluster": "c", "job_id": str(number), "user_name": "u", "state": "COMPLETED",
        "submit_at": submit, "start_at": start, "end_at": end if ended else None, "elapsed_seconds": elapsed, "alloc_tres": text,
        "alloc_cpus": random.randint(1, 128), "alloc_gpus": gpus, "alloc_mem_mib": random.randint(0, 10**6),
        "cpu_used_core_seconds": random.randint(0, 10**6), "mem_used_mib_seconds": random.randint(0, 10**10), "ended": ended,
        "account_name": random.choice(ACCOUNTS), "tier": random.choice(TIERS), "payer": random.choice(("ann", "bob"))}
