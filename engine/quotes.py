"""A quote: what a job would cost at most, step by step, and what would be cheaper. Pure: a request and a rate book in.

There is no second price formula here: a request becomes a usage row in which all that is set aside is used, every other
start, GPU and size becomes a row beside it, and `engine.rating.rate` prices them all in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from engine.errors import MoneyError
from engine.money import INT64_MAX, exact_text
from engine.rates import METER_UNITS, METERS, Policy, RateCard, Rounding
from engine.rating import rate
from engine.sbatch import BadRequest, Request
from engine.slurm_values import memory_text
from engine.usage import USAGE_SCHEMA

AHEAD = timedelta(days=7)                    # how far ahead another start is looked for
GRID = 900                                   # seconds between the starts that are tried
MOST_ROWS = 40_000                           # rows priced for one quote: with many waves fewer starts are tried
MOST_WAVES = 1000
ALL_OF_IT = "all that is asked for"
QUANTITIES = {"cpu": ("cpu_core_seconds", 3600), "gpu": ("gpu_seconds", 3600), "mem": ("mem_mib_seconds", 3600 * 1024)}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the price: `quantity_micro` millionths of `unit` at `price_micro` each cost `amount_micro`. Without a unit it
    is the rounding."""

    meter: str
    what: str
    quantity_micro: int
    unit: str
    price_micro: int
    amount_micro: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """Something cheaper: the same job at another `start`, or on other GPUs, or with less memory."""

    what: str
    kind: str
    total_micro: int
    saves_micro: int
    start: datetime
    request: Request


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of a request. The amounts of the steps add up to the total; `curve` is the total by start."""

    request: Request
    start: datetime
    tier: str
    card: RateCard
    total_micro: int
    steps: tuple[Step, ...]
    alternatives: tuple[Alternative, ...]
    curve: tuple[tuple[datetime, int], ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def end(self) -> datetime:
        """When a first task ends that uses all its time."""
        return self.start + timedelta(seconds=self.request.seconds)


@dataclass(frozen=True, slots=True)
class _Variant:
    """One way to run it: the request itself, or one that might be cheaper."""

    kind: str
    what: str
    request: Request
    start: datetime


def quote(asked: Request, start: datetime, tier: str, book: Sequence[RateCard]) -> Quote:
    """Price `asked` from `start` on (whole seconds) at `tier` by the cards of `book`.

    A BadRequest names a tier without a card; a MoneyError an amount that is beyond 64 bits.
    """
    card = valid_card(book, tier, start + timedelta(seconds=asked.seconds))
    here = _Variant("asked", "as asked", asked, start)
    others = [*_models(here, card), *_less_memory(here, card)]
    starts = _starts(here, tier, book)
    variants = [here, *others, *starts]
    rows = _priced(variants, tier, book)
    totals = _totals(rows, len(variants))
    priced = list(zip(variants, totals, strict=True))
    return Quote(asked, start, tier, card, totals[0], _steps(rows.filter(pl.col("variant") == 0), asked, card, totals[0]),
                 _cheaper(priced, totals[0], len(others)), tuple((one.start, total) for one, total in priced[1 + len(others):]),
                 (*asked.notes, *_notes(asked, card)))


def valid_card(book: Sequence[RateCard], tier: str, at: datetime) -> RateCard:
    """The card that prices what ends at `at`; a BadRequest where there is none."""
    line = [card for card in book if card.tier == tier]
    if not line:
        raise BadRequest(f"There is no rate card for tier {tier!r}; there are cards for {', '.join(sorted({c.tier for c in book}))}.")
    valid = [card for card in line if card.valid_from <= at]
    if not valid:
        first = min(card.valid_from for card in line)
        raise BadRequest(f"Tier {tier} has no price before {first:%Y-%m-%dT%H:%M:%SZ}.")
    return max(valid, key=lambda card: card.valid_from)


def _priced(variants: Sequence[_Variant], tier: str, book: Sequence[RateCard]) -> pl.DataFrame:
    """Every variant's rows with their charge: one row a wave of tasks, those that wait beginning when the wave before had all
    its time. `variant` is its place, `times` how many tasks the row stands for."""
    requests = list(dict.fromkeys(variant.request for variant in variants))
    asked = pl.DataFrame([_row(one) | {"asked": number} for number, one in enumerate(requests)], schema={**_ROW, "asked": pl.Int64()})
    ways = pl.DataFrame([(number, requests.index(one.request), int(one.start.timestamp())) for number, one in enumerate(variants)],
                        schema={"variant": pl.Int64(), "asked": pl.Int64(), "begin": pl.Int64()}, orient="row")
    waves = pl.DataFrame(list(enumerate(_waves(variants[0].request))), schema={"wave": pl.Int64(), "times": pl.Int64()}, orient="row")
    start = pl.col("begin") + pl.col("wave") * pl.col("elapsed_seconds")
    usage = ways.join(waves, how="cross").join(asked, on="asked").with_columns(
        run_key=pl.format("quote/{}/{}", "variant", "wave"), payer=pl.format("quote {}", "variant"), tier=pl.lit(tier),
        submit_at=start, start_at=start, end_at=start + pl.col("elapsed_seconds"))
    return rate(usage.select(*USAGE_SCHEMA, "tier", "payer", "variant", "times"), book)


def _waves(asked: Request) -> list[int]:
    """How many tasks run in each wave."""
    at_once = asked.at_once or asked.count
    whole, rest = divmod(asked.count, at_once)
    if whole > MOST_WAVES:
        raise BadRequest(f"{asked.count:,} tasks of which {at_once:,} run at once take {whole:,} rounds: quote fewer tasks.")
    return [at_once] * whole + ([rest] if rest else [])


_ROW = {name: dtype for name, dtype in USAGE_SCHEMA.items() if name not in ("run_key", "submit_at", "start_at", "end_at")}


def _row(asked: Request) -> dict[str, object]:
    """A usage row as if it had run: all that is set aside is used, for all the time."""
    return {
        "cluster": "quote", "job_id": "quote", "job_id_raw": 0, "sluid": None, "job_name": "", "user_name": "",
        "account_name": asked.account, "partition_name": "", "qos": "", "node_list": "", "state": "COMPLETED",
        "elapsed_seconds": asked.seconds, "alloc_tres": tres_text(asked), "alloc_cpus": asked.cpus, "alloc_gpus": asked.gpu_count,
        "alloc_mem_mib": asked.mem_mib, "cpu_used_core_seconds": asked.cpus * asked.seconds, "cpu_used_from": ALL_OF_IT,
        "mem_used_mib_seconds": asked.mem_mib * asked.seconds, "mem_used_from": ALL_OF_IT, "ended": True, "detail": 1}


def tres_text(asked: Request) -> str:
    """What Slurm would write into AllocTRES."""
    parts = [f"billing={asked.billing}"] if asked.billing else []
    parts.append(f"cpu={asked.cpus}")
    parts += [f"gres/gpu:{model}={number}" for model, number in asked.gpus if model]
    parts += [f"gres/gpu={asked.gpu_count}"] if asked.gpu_count else []
    parts += [f"mem={memory_text(asked.mem_mib)}"] if asked.mem_mib else []
    return ",".join([*parts, f"node={asked.nodes}"])


def _totals(rows: pl.DataFrame, variants: int) -> list[int]:
    """What each variant costs; the tasks are multiplied where no sum can wrap."""
    totals = [0] * variants
    for number, times, micro in rows.select("variant", "times", "cost_micro").iter_rows():
        totals[number] += times * micro
    if max(totals) > INT64_MAX:
        raise MoneyError(f"Together that is {max(totals):,} micro-units, which do not fit 64 bits.")
    return totals


def _steps(rows: pl.DataFrame, asked: Request, card: RateCard, total_micro: int) -> tuple[Step, ...]:
    steps = []
    for meter in METERS:
        name, size = QUANTITIES[meter]
        quantity, amount = (sum(times * one for times, one in rows.select("times", column).iter_rows())
                            for column in (name, f"{meter}_micro"))
        if quantity:
            steps.append(Step(meter, _meter_words(meter, asked), (2 * quantity * 10**6 + size) // (2 * size), METER_UNITS[meter],
                              card.price_micro(meter), amount))
    rest = total_micro - sum(step.amount_micro for step in steps)
    return (*steps, Step("rounding", "Rounding", 0, "", 0, rest))


def _meter_words(meter: str, asked: Request) -> str:
    models = ", ".join(f"{number} {model}".strip() for model, number in asked.gpus)
    return {"cpu": "CPU", "gpu": f"GPU ({models})", "mem": "Memory"}[meter]


def _models(here: _Variant, card: RateCard) -> list[_Variant]:
    """The same number of GPUs of each other model the card names."""
    return []


def _less_memory(here: _Variant, card: RateCard) -> list[_Variant]:
    """Half the memory, where memory has a price."""
    half = here.request.mem_mib // 2
    if half < 512 or not card.price_micro("mem"):
        return []
    return [_Variant("memory", f"half the memory ({memory_text(half)})", replace(here.request, mem_mib=half), here.start)]


def _starts(here: _Variant, tier: str, book: Sequence[RateCard]) -> list[_Variant]:
    """The same job at every quarter hour of the next seven days; none where every start has the same price."""
    last = here.start + AHEAD + timedelta(seconds=here.request.seconds * len(_waves(here.request)))
    if not any(card.tier == tier and here.start < card.valid_from <= last for card in book):
        return []
    first = int(here.start.timestamp()) // GRID * GRID + GRID
    ahead = int(AHEAD.total_seconds())
    rarer = -(-ahead // GRID * len(_waves(here.request)) // MOST_ROWS) or 1
    return [_Variant("start", "another start", here.request, datetime.fromtimestamp(first + more, UTC))
            for more in range(0, ahead, GRID * rarer)]


def _cheaper(priced: Sequence[tuple[_Variant, int]], total: int, others: int) -> tuple[Alternative, ...]:
    """What really costs less: each other way, and of the starts the cheapest within a day and within the week."""
    here = priced[0][0]
    day = [one for one in priced[1 + others:] if one[0].start <= here.start + timedelta(days=1)]
    best = [min(some, key=lambda one: (one[1], one[0].start)) for some in (day, priced[1 + others:]) if some]
    found = {(one.kind, one.what, one.start): (one, micro) for one, micro in [*priced[1:1 + others], *best] if micro < total}
    made = [Alternative(one.what, one.kind, micro, total - micro, one.start, one.request) for one, micro in found.values()]
    starts = [one for one in made if one.kind == "start"]
    if len(starts) == 2 and starts[0].total_micro == starts[1].total_micro:
        made.remove(starts[1])
    return tuple(sorted(made, key=lambda one: (one.total_micro, one.start)))


def _notes(asked: Request, card: RateCard) -> Iterable[str]:
    if card.policy is Policy.USED:
        yield ("The policy bills what is used: this is the most it costs, if all CPUs, GPUs and memory are used for the whole time.")
    else:
        yield "The policy bills what is set aside for as long as it runs: this is the most it costs, if it takes all its time."
    if card.rounding is Rounding.PER_RECEIPT_MINOR:
        yield "The card rounds the receipt, not each job: the total is exact to the millionth."
    if asked.count > 1:
        yield f"{asked.count:,} tasks" + (f", {asked.at_once:,} at a time, one round after the other." if asked.at_once else
                                          ", taken to start together.")


def asked_words(asked: Request) -> str:
    """What is asked for: `16 CPUs, 2 GPUs (a100), 128G of memory, 2-00:00:00`."""
    gpus = " and ".join(f"{_count(number, 'GPU')}{f' ({model})' if model else ''}" for model, number in asked.gpus)
    parts = [_count(asked.cpus, "CPU"), gpus, f"{memory_text(asked.mem_mib)} of memory" if asked.mem_mib else "",
             f"on {asked.nodes:,} nodes" if asked.nodes > 1 else "", f"for {span_words(asked.seconds)}"]
    times = f"{asked.count:,} × " if asked.count > 1 else ""
    return times + ", ".join(part for part in parts if part)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def span_words(seconds: int) -> str:
    """`2 days`, `1 day 6 h 30 min`."""
    days, rest = divmod(seconds, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    parts = [_count(days, "day") if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(part for part in parts if part)


def quantity_text(micro: int) -> str:
    """Millionths of a unit as short as they are exact: `768`, `4.2`, `0.016667`."""
    return exact_text(micro).rstrip("0").rstrip(".") if micro % 10**6 else f"{micro // 10**6:,}"


def gpu_models(book: Sequence[RateCard], now: datetime) -> tuple[str, ...]:
    """The GPU models that cards valid now name, by name."""
    return ()
