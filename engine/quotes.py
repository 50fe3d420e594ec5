"""A quote: what a job would cost at most, step by step, and what would be cheaper. Pure: a request and a rate book in.

There is no second price formula here: a request becomes a usage row in which all that is set aside is used, every other
start, GPU and size becomes a row beside it, and `engine.rating.rate` prices them all in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from engine.calendars import ONE, SLOT, Calendar, calendar_table
from engine.commitments import month_end, months_between
from engine.errors import MoneyError
from engine.explain import METER_NAMES, SHOWN_STEP, UNIT_SIZE, decimal
from engine.explain_text import time_words
from engine.explain_time import TimePart, time_parts
from engine.ladders import is_ladder
from engine.meters import RUN_METERS
from engine.money import INT64_MAX, exact_text, nearest
from engine.quote_words import count, ladder_words, month_notes, notes
from engine.rate_frames import CARRIED_SCHEMA
from engine.rates import METER_UNITS, Policy, Price, RateCard
from engine.rating import QUANTITIES, rate
from engine.sbatch import BadRequest, Request
from engine.slurm_values import memory_text
from engine.usage import USAGE_SCHEMA

AHEAD = timedelta(days=7)                    # how far ahead another start is looked for
MOST_ROWS = 40_000                           # rows priced for one quote: with many tasks fewer starts are tried
MOST_WAVES = 1000
MOST_TASKS = 10_000                          # one after the other, where what a month used decides the price
ALL_OF_IT = "all that is asked for"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the price: `quantity_micro` millionths of `unit`, `price_micro` a unit (None: of several prices), × `factor`,
    is `amount_micro`. `detail` says what else decided. Without a unit it is the rounding."""

    meter: str
    what: str
    quantity_micro: int
    unit: str
    price_micro: int | None
    factor: str
    amount_micro: int
    detail: str = ""


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
    """The price of a request. The amounts of the steps add up to the total; `factor` is the tasks' average time factor, `times`
    what it comes from in the first task; `curve` is the total by start, empty where every start costs the same."""

    request: Request
    start: datetime
    tier: str
    card: RateCard
    total_micro: int
    steps: tuple[Step, ...]
    factor: str
    times: tuple[TimePart, ...]
    alternatives: tuple[Alternative, ...]
    curve: tuple[tuple[datetime, int], ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def end(self) -> datetime:
        """When a first task ends that uses all its time."""
        return self.start + timedelta(seconds=self.request.seconds)

    @property
    def shown_micro(self) -> tuple[int, ...]:
        """The steps' amounts at four decimals; the rounding, which is the last, makes the shown parts add up to the total."""
        shown = [nearest(step.amount_micro, SHOWN_STEP) * SHOWN_STEP for step in self.steps[:-1]]
        return (*shown, self.total_micro - sum(shown))


@dataclass(frozen=True, slots=True)
class Prices:
    """Whose prices: a tier's, by the cards of `book`; `used` is what the payer used in the months in question (`used_before`),
    known up to `now`."""

    tier: str
    book: Sequence[RateCard]
    used: pl.DataFrame | None = None
    now: datetime | None = None

    def cards(self, asked: Request) -> list[RateCard]:
        """The cards that may price `asked`: those of its project, and of the tier."""
        return [card for card in self.book if card.tier == self.tier or (asked.account and card.project == asked.account)]

    def laddered(self, asked: Request) -> bool:
        """Whether what a month used before decides the price."""
        return any(is_ladder(price) for card in self.cards(asked) for price in card.prices if price.meter in RUN_METERS)

    def card(self, asked: Request, at: datetime) -> RateCard:
        """The card that prices what ends at `at`; a BadRequest where there is none."""
        cards = self.cards(asked)
        valid = [card for card in cards if card.valid_from <= at]
        if not any(card.tier for card in cards) and not any(card.project for card in valid):
            tiers = ", ".join(sorted({card.tier for card in self.book if card.tier}))
            raise BadRequest(f"There is no rate card for tier {self.tier!r}; there are cards for {tiers}.")
        if not valid:
            raise BadRequest(f"Tier {self.tier} has no price before {min(card.valid_from for card in cards):%Y-%m-%dT%H:%M:%SZ}.")
        return max(valid, key=lambda card: (bool(card.project), card.valid_from, card.version))


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run it: as asked, or one that might be cheaper."""

    kind: str
    what: str
    request: Request
    start: datetime


def quote(asked: Request, start: datetime, prices: Prices) -> Quote:
    """Price `asked` from `start` on (whole seconds).

    A BadRequest names a tier without a card, or what the card needs to know; a MoneyError says when it is too much for 64 bits.
    """
    card = prices.card(asked, start + timedelta(seconds=asked.seconds))
    _check(asked, card)
    here = _Way("asked", "as asked", asked, start)
    others, starts = [*_models(here, card), *_less_memory(here, card)], _starts(here, prices)
    ways = [here, *others, *starts]
    rows = _priced(ways, prices)
    totals = _totals(rows, len(ways))
    own = rows.filter(pl.col("way") == 0)
    tried = list(zip(ways, totals, strict=True))
    cheaper = _cheaper(tried, 1 + len(others), card)
    factor = _factor(own)
    curve = tuple((way.start, total) for way, total in tried[1 + len(others):])
    return Quote(asked, start, prices.tier, card, totals[0], _steps(own, asked, card, factor, totals[0]), factor,
                 _times(card, start, asked.seconds), cheaper, curve if len({micro for _, micro in curve}) > 1 else (),
                 (*asked.notes, *notes(asked, card, any(one.kind == "gpu" for one in cheaper)),
                  *month_notes(card, start + timedelta(seconds=asked.seconds), None if prices.used is None else prices.now)))


def use_moments(end: datetime, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """Up to when a month's use is counted for a job that ends at `end`: now; of a job of the past its own end, then the end of
    each month until now."""
    if end >= now:
        return [now]
    days = [moment.astimezone(zone).date() for moment in (end, now)]
    ends = [month_end(month, zone) - timedelta(seconds=1) for month in months_between(*days)[1:]]
    return [end, *ends, *([now] if days[0].replace(day=1) < days[1].replace(day=1) else [])]


def used_before(runs: pl.DataFrame, prices: Prices, asked: Request, payer: str, now: datetime) -> pl.DataFrame:
    """What `payer` used of each counter in the month of `now` before then, as rating counts it: CARRIED_SCHEMA for `Prices.used`.

    `runs` are the payer's ended runs (RATED), from the month's beginning at the latest. An empty run that ends now stands
    behind them all: what the rating function says was used before it, is it.
    """
    card = prices.card(asked, now)
    empty = replace(asked, cpus=0, mem_mib=0, gpus=(), seconds=0, count=1, at_once=0)
    probe = _usage([_Way("asked", "", empty, now)], prices.tier, laddered=False).with_columns(run_key=LAST, payer=pl.lit(payer))
    rows = pl.concat([runs.filter(pl.col("end_at") <= int(now.timestamp())).select(RATED), probe.select(RATED)])
    before = rate(rows, prices.book, factors=True).row(-1, named=True)
    counted = [(payer, card.line, _month(card, now), name.removesuffix("_before"), int(value))
               for name, value in before.items() if name.endswith("_before") and value]
    return pl.DataFrame(counted, schema=CARRIED_SCHEMA, orient="row")


LAST = pl.lit("\U0010ffff")                # a run key after all others
RATED = ("run_key", "tier", "payer", "account_name", "alloc_tres", "ended", "submit_at", "start_at", "end_at", "elapsed_seconds",
         "alloc_cpus", "alloc_gpus", "alloc_mem_mib", "cpu_used_core_seconds", "mem_used_mib_seconds")


def _month(card: RateCard, at: datetime) -> int:
    instant = int(at.timestamp())
    return int(calendar_table([Calendar(card.time_zone)], instant, instant)["month"][0])


def _check(asked: Request, card: RateCard) -> None:
    if card.policy is Policy.BILLING_TRES and not asked.billing:
        raise BadRequest(f"Card {card.name} bills Slurm's billing units: say how many the job has with --billing N.")


# --- rows for the rating function ------------------------------------------------------------------------------------


def _priced(ways: Sequence[_Way], prices: Prices) -> pl.DataFrame:
    """Every way's rows with their charge."""
    usage = _usage(ways, prices.tier, prices.laddered(ways[0].request))
    carried = None
    if prices.used is not None:
        carried = usage.select("payer").unique().join(prices.used.drop("payer"), how="cross").select(*CARRIED_SCHEMA)
    try:
        return rate(usage, prices.book, carried=carried, factors=True)
    except MoneyError:
        raise MoneyError("That is more than can be counted: check the numbers.") from None


def _usage(ways: Sequence[_Way], tier: str, laddered: bool) -> pl.DataFrame:
    """A row a wave of tasks, and each task alone where a month's ladder makes the later ones cost otherwise. `way` is its place,
    `times` how many tasks the row stands for; every way is a payer of its own, so that none uses another's quota."""
    requests = list(dict.fromkeys(way.request for way in ways))
    asked = pl.DataFrame([_row(one) | {"asked": number} for number, one in enumerate(requests)], schema={**_ROW, "asked": pl.Int64()})
    begin = pl.DataFrame([(number, requests.index(way.request), int(way.start.timestamp())) for number, way in enumerate(ways)],
                         schema={"way": pl.Int64(), "asked": pl.Int64(), "begin": pl.Int64()}, orient="row")
    waves = pl.DataFrame(_waves(ways[0].request, laddered), schema={"wave": pl.Int64(), "times": pl.Int64(), "task": pl.Int64()},
                         orient="row")
    start = pl.col("begin") + pl.col("wave") * pl.col("elapsed_seconds")
    return begin.join(waves, how="cross").join(asked, on="asked").with_columns(
        run_key=pl.format("quote/{}/{}", "way", "task"), payer=pl.format("quote {}", "way"), tier=pl.lit(tier),
        submit_at=start, start_at=start, end_at=start + pl.col("elapsed_seconds")).select(*USAGE_SCHEMA, "tier", "payer", "way", "times")


def _waves(asked: Request, laddered: bool) -> list[tuple[int, int, int]]:
    """(wave, tasks, number) of every row: tasks that wait for others begin when those had all their time."""
    at_once = min(asked.at_once or asked.count, asked.count)
    whole, rest = divmod(asked.count, at_once)
    if whole > MOST_WAVES:
        raise BadRequest(f"{asked.count:,} tasks of which {at_once:,} run at once take {whole:,} rounds: quote fewer tasks.")
    if not laddered:
        return [(wave, at_once, wave) for wave in range(whole)] + ([(whole, rest, whole)] if rest else [])
    if asked.count > MOST_TASKS:
        raise BadRequest(f"What a month used decides the price, task by task: quote at most {MOST_TASKS:,} tasks.")
    return [(task // at_once, 1, task) for task in range(asked.count)]


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


def _totals(rows: pl.DataFrame, ways: int) -> list[int]:
    """What each way costs; added where no sum can wrap."""
    totals = [0] * ways
    for number, times, micro in rows.select("way", "times", "cost_micro").iter_rows():
        totals[number] += times * micro
    if max(totals) > INT64_MAX:
        raise MoneyError("That is more than can be counted: check the numbers.")
    return totals


# --- what else there is to try ---------------------------------------------------------------------------------------


def _models(here: _Way, card: RateCard) -> list[_Way]:
    """The same number of GPUs of each other model the card names."""
    now = {model for model, _ in here.request.gpus}
    if len(now) != 1:
        return []
    number = here.request.gpu_count
    return [_Way("gpu", f"{count(number, 'GPU')} of model {model}", replace(here.request, gpus=((model, number),)), here.start)
            for model in sorted({price.model for price in card.prices if price.model} - now)]


def _less_memory(here: _Way, card: RateCard) -> list[_Way]:
    """Half the memory, where memory has a price."""
    half = here.request.mem_mib // 2
    if half < 512 or not card.price_micro("mem"):
        return []
    return [_Way("memory", f"half the memory ({memory_text(half)})", replace(here.request, mem_mib=half), here.start)]


def _starts(here: _Way, prices: Prices) -> list[_Way]:
    """The same job at every quarter hour of the next seven days; none where every start has the same price."""
    cards = prices.cards(here.request)
    laddered = prices.laddered(here.request)
    waves = _waves(here.request, laddered)
    last = here.start + AHEAD + timedelta(seconds=here.request.seconds * (waves[-1][0] + 1))
    if not laddered and not any(card.modifiers or here.start < card.valid_from <= last for card in cards):
        return []
    first = int(here.start.timestamp()) // SLOT * SLOT + SLOT
    ahead = int(AHEAD.total_seconds())
    rarer = -(-ahead // SLOT * len(waves) // MOST_ROWS)
    return [_Way("start", "another start", here.request, datetime.fromtimestamp(first + more, UTC))
            for more in range(0, ahead, SLOT * rarer)]


def _cheaper(tried: Sequence[tuple[_Way, int]], starts: int, card: RateCard) -> tuple[Alternative, ...]:
    """What really costs less: each other way, and of the starts the cheapest within a day and, if cheaper still, the week."""
    here, total = tried[0]
    best: list[tuple[_Way, int]] = []
    for some in ([one for one in tried[starts:] if one[0].start <= here.start + timedelta(days=1)], tried[starts:]):
        found = min(some, key=lambda one: (one[1], one[0].start), default=None)
        if found and (not best or found[1] < best[0][1]):
            best.append((replace(found[0], what=_start_words(card, found[0])), found[1]))
    made = [Alternative(way.what, way.kind, micro, total - micro, way.start, way.request)
            for way, micro in (*tried[1:starts], *best) if micro < total]
    return tuple(sorted(made, key=lambda one: (one.total_micro, one.start)))


def _start_words(card: RateCard, way: _Way) -> str:
    """`another start: off-peak` when that is what makes it cheaper."""
    held = {name for part in _times(card, way.start, way.request.seconds) for name in part.modifiers}
    names = [one.name for one in card.modifiers if one.name in held and one.factor_ppm < ONE]
    return f"another start: {', '.join(names)}" if names else "another start"


# --- words -----------------------------------------------------------------------------------------------------------


def _steps(rows: pl.DataFrame, asked: Request, card: RateCard, factor: str, total_micro: int) -> tuple[Step, ...]:
    steps = [step for column in QUANTITIES if (step := _step(rows, column, asked, card, factor))]
    rest = total_micro - sum(step.amount_micro for step in steps)
    return (*steps, Step("rounding", "Rounding", 0, "", None, "", rest))


def _step(rows: pl.DataFrame, column: str, asked: Request, card: RateCard, factor: str) -> Step | None:
    quantity, amount = (sum(times * one for times, one in rows.select("times", name).iter_rows())
                        for name in (QUANTITIES[column], f"{column}_micro"))
    meter = column if column != "extra" else "billing" if card.policy is Policy.BILLING_TRES else "node"
    if not quantity or (not amount and card.policy is Policy.BILLING_TRES):
        return None
    prices = _prices(asked, card, meter)
    models = ", ".join(f"{number} {model}".strip() for model, number in asked.gpus)
    what = f"{METER_NAMES[meter]} ({models})" if meter == "gpu" else METER_NAMES[meter]
    price = _first(prices[0]) if len(set(prices)) == 1 else None
    return Step(meter, what, nearest(quantity * 10**6, UNIT_SIZE[meter]), METER_UNITS[meter], price, factor, amount,
                "; ".join(_details(prices, card, meter, amount, rows)))


def _prices(asked: Request, card: RateCard, meter: str) -> list[Price | None]:
    return [card.price(meter, model) for model, _ in asked.gpus] if meter == "gpu" else [card.price(meter)]


def _first(price: Price | None) -> int:
    return price.first_micro if price else 0


def _details(prices: Sequence[Price | None], card: RateCard, meter: str, amount: int, rows: pl.DataFrame) -> Iterable[str]:
    if card.policy is Policy.MAX_OF and not amount and any(map(_first, prices)):
        yield "not the dearest: costs nothing"
    if len(set(prices)) > 1:
        yield " and ".join(f"{exact_text(_first(price))}{f' for {price.model}' if price and price.model else ''}" for price in prices)
    for price in prices:
        if price and is_ladder(price):
            column = f"{price.meter}:{price.model}_before" if price.model else f"{price.meter}_before"
            yield ladder_words(price, int(str(rows[column].min() or 0)) if column in rows.columns else 0)


def _factor(rows: pl.DataFrame) -> str:
    """The average time factor of all tasks, as many decimals as it has, at most six."""
    weighted = span = 0
    for times, ppm_seconds, seconds in rows.select("times", "weighted_ppm_seconds", "span_seconds").iter_rows():
        weighted, span = weighted + times * ppm_seconds, span + times * seconds
    return decimal(weighted, span * ONE)


def _times(card: RateCard, start: datetime, seconds: int) -> tuple[TimePart, ...]:
    begin = int(start.timestamp())
    return time_parts(card, begin, begin + seconds)


def time_lines(made: Quote, zone: ZoneInfo) -> list[str]:
    """`Time factor 1.05: peak × 1.2 for 2 h (20 Nov 18:00–20:00); plain × 1 for 2 h (…)`, as an explanation says it."""
    first = "; ".join(time_words(part, zone) for part in made.times)
    several = ", of the first task" if made.request.at_once and made.request.at_once < made.request.count else ""
    return [f"Time factor {made.factor}{several}: {first}"] if made.times else []


def gpu_models(book: Sequence[RateCard]) -> tuple[str, ...]:
    """The GPU models that cards of the book name, by name."""
    return tuple(sorted({price.model for card in book for price in card.prices if price.model}))
