"""An explanation as plain lines for people. Pure; the zone people read in is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.charge_parts import Kind
from engine.explain import METER_NAMES, ROUNDING_WORDS, UNIT_SIZE, counted_words, decimal, measured, product
from engine.explain_time import TimePart
from engine.explained import Answer, Explained, Factor, OnReceipt, Rejected, Revision
from engine.ladders import is_ladder
from engine.money import amount_text, exact_text, minor_micro
from engine.rates import METER_UNITS

SPANS_SHOWN = 3                         # stretches of one modifier that are named
LONGEST_LINE = 200                      # characters of a rejected line that are shown
NO_CARD_BEFORE = 2000                   # a card of an earlier year was always valid


def lines(answer: Answer, zone: ZoneInfo) -> list[str]:
    """The whole answer, one line each."""
    said = [] if answer.runs else [because.sentence for because in answer.reasons]
    for number, one in enumerate(answer.runs, 1):
        more = [f"Run {number} of {len(answer.runs)}, newest first"] if len(answer.runs) > 1 else []
        said += [*([""] if number > 1 else []), *more, *run_lines(one, zone)]
    if answer.rejected:
        said += ["", *(line for one in answer.rejected for line in rejected_lines(one, zone))]
    return said


def run_lines(one: Explained, zone: ZoneInfo) -> list[str]:
    """One run: who and when, the line with every factor, the records behind it, and why it is charged or not."""
    warning = [f"WRONG: {one.disagrees}. The books and the rating function disagree: run ./corehours check."] if one.disagrees else []
    behind = [*charge_lines(one), card_line(one, zone), *record_lines(one, zone)]
    return [*warning, about(one, zone), *(f"  {line}" for line in behind), *(because.sentence for because in one.reasons)]


def about(one: Explained, zone: ZoneInfo) -> str:
    """`Job 7 on c1 · train · physics · alice · completed · ended 5 Oct 2026 10:00 +07`."""
    run = one.run
    when = f"ended {moment(run.end_at, zone)}" if run.ended and run.end_at else (
        f"running since {moment(run.start_at, zone)}" if run.start_at else f"waiting since {moment(run.submit_at, zone)}")
    name = " ".join("".join(letter if letter.isprintable() else "·" for letter in run.job_name).split()) or "–"
    return " · ".join([f"Job {run.job_id} on {run.cluster}", name[:80], run.account_name, run.user_name, run.state.lower(), when])


def charge_lines(one: Explained) -> list[str]:
    """Each price that was applied, the time factor, then the rounding, then the total they add up to."""
    apart = one.explanation
    exact = apart.total_micro % minor_micro(apart.currency)
    total = exact_text(apart.total_micro) if exact else amount_text(apart.total_micro, apart.currency)
    said = [*(factor_line(one, factor) for factor in apart.factors), max_of_words(one), month_words(one), *time_lines(one)]
    return [*(line for line in said if line), f"Rounding ({rounding_words(one)}): {exact_text(apart.rest_micro)} {apart.currency}",
            f"Total: {total} {apart.currency}"]


def factor_line(one: Explained, factor: Factor) -> str:
    """`CPU: TotalCPU of its steps = 15,120 core-seconds = 4.2 core-hours × 3.00 = 12.60 THB`."""
    if not one.run.ended:
        return f"{factor.label}: {measured(factor)} so far, at {exact_text(factor.price_micro)}"
    said = product(factor, one.explanation.weighing.factor, one.explanation.currency)
    counted = f"{counted_words(factor)} = " if factor.part.kind is Kind.UNITS else f"{factor.figures}; "
    return f"{factor.label}: {counted}{said}"


def max_of_words(one: Explained) -> str:
    """`GPU is the dearest resource: 12.00; CPU 3.00 and Memory 1.00 are not added.`, where the policy is max_of."""
    apart = one.explanation
    left = _sums([factor for factor in apart.factors if not factor.part.added and factor.would_micro])
    kept = _sums([factor for factor in apart.factors if factor.part.added])
    if not left or not kept:
        return ""
    dearest, micro = next(iter(kept.items()))
    others = " and ".join(f"{METER_NAMES[meter]} {amount_text(would, decimals=2)}" for meter, would in left.items())
    return (f"{METER_NAMES[dearest]} is the dearest resource: {amount_text(micro, decimals=2)}; {others} "
            f"{'is' if len(left) == 1 else 'are'} not added.")


def _sums(factors: Iterable[Factor]) -> dict[str, int]:
    found: dict[str, int] = {}
    for factor in factors:
        found[factor.meter] = found.get(factor.meter, 0) + factor.would_micro
    return found


def month_words(one: Explained) -> str:
    """What the payer had used in the month before, where prices depend on it."""
    apart = one.explanation
    if not apart.month:
        return ""
    known = {name: quantity for name, quantity in apart.weighing.before.items() if quantity and on_ladder(one, name)}
    used = [f"{decimal(quantity, UNIT_SIZE[name.partition(':')[0]])} {METER_UNITS[name.partition(':')[0]]}s"
            f"{' of ' + name.partition(':')[2] if ':' in name else ''}" for name, quantity in known.items()]
    line = f"project {one.card.project}" if one.card.project else f"tier {one.card.tier}"
    return f"Month {apart.month}: {one.run.payer} had used {' and '.join(used) or 'nothing'} before it on the cards of {line}"


def on_ladder(one: Explained, counter: str) -> bool:
    """Whether the card's price of `counter` (cpu, gpu:a100) depends on what was used before in the month."""
    meter, _, model = counter.partition(":")
    return any(price.meter == meter and price.model == model and is_ladder(price) for price in one.card.prices)


def time_lines(one: Explained) -> list[str]:
    """The time factor and what it is made of: which modifiers held for how long, and when in the zone they are meant in."""
    apart = one.explanation
    if not apart.times:
        return []
    factor = apart.weighing.factor
    zone = ZoneInfo(one.card.time_zone)
    return [f"Time factor {decimal(factor.numerator, factor.denominator)}, times in {one.card.time_zone}: "
            + "; ".join(time_words(part, zone) for part in apart.times)]


def time_words(part: TimePart, zone: ZoneInfo) -> str:
    """`peak × 1.2 for 2 h 30 min (5 Oct 18:00–20:30)`."""
    names = " with ".join(part.modifiers) or "plain"
    when = ", ".join(_span_words(*span, zone) for span in part.spans[:SPANS_SHOWN])
    more = f", and {len(part.spans) - SPANS_SHOWN} times more" if len(part.spans) > SPANS_SHOWN else ""
    return f"{names} × {decimal(part.factor_ppm, 1_000_000)} for {duration(part.seconds)} ({when}{more})"


def _span_words(since: datetime, until: datetime, zone: ZoneInfo) -> str:
    start, end = since.astimezone(zone), until.astimezone(zone)
    day = "" if start.date() == end.date() else f"{end.day} {end:%b} "
    return f"{start.day} {start:%b} {start:%H:%M}–{day}{end:%H:%M}"


def duration(seconds: int) -> str:
    """`2 h 30 min`, `30 min 5 s`, `0 s`."""
    hours, rest = divmod(seconds, 3600)
    named = ((hours, "h"), (rest // 60, "min"), (rest % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in named if number) or "0 s"


def rounding_words(one: Explained) -> str:
    """The rounding rule."""
    return ROUNDING_WORDS[one.card.rounding]


def card_line(one: Explained, zone: ZoneInfo) -> str:
    """The card with its dates, and why this card: its project, or the payer's tier and since when."""
    run, card = one.run, one.card
    why = (f"it prices what runs in project {card.project}, for payers of any tier ({run.payer} is of tier {run.tier})" if card.project
           else f"{run.payer} pays tier {run.tier}{_tier_words(one, zone)}")
    return f"Card {card.name}, valid from {valid_from(card.valid_from, zone)}, policy {run.policy}; {why}"


def valid_from(instant: datetime, zone: ZoneInfo) -> str:
    """A card's first instant in words."""
    return "the beginning" if instant.year < NO_CARD_BEFORE else moment(instant, zone)


def _tier_words(one: Explained, zone: ZoneInfo) -> str:
    since = one.tier_since
    return f" since {moment(since.at, zone)} (set by {since.by})" if since else ", which they began with"


def record_lines(one: Explained, zone: ZoneInfo) -> list[str]:
    """Where the record came from, what corrected it, and the receipts it stands on."""
    return [_brought_line(one, zone), *(revision_line(each, one.run.currency, zone) for each in one.revisions),
            *(receipt_line(each, one.run.currency) for each in one.receipts)]


def _brought_line(one: Explained, zone: ZoneInfo) -> str:
    run, by = one.run, one.brought
    told = f"ingest run {by.run_id} ({by.source} {by.origin}, {moment(by.started_at, zone)})" if by else f"ingest run {run.run_id}"
    return f"Record {run.run_key}, revision {run.revision}, brought by {told}; AllocTRES {run.alloc_tres or 'empty'}"


def revision_line(each: Revision, currency: str, zone: ZoneInfo) -> str:
    """What a correction replaced."""
    micro = each.was.get("cost_micro")
    cost = f", cost {exact_text(micro)} {currency}" if isinstance(micro, int) else ""
    return (f"Corrected {moment(each.replaced_at, zone)} by ingest run {each.replaced_by}; revision {each.revision} said "
            f"{each.was.get('state')}, {each.was.get('elapsed_seconds')} s, {each.was.get('alloc_tres')}{cost}")


def receipt_line(each: OnReceipt, currency: str) -> str:
    """A line on a receipt: the usage, or what a correction adds or takes."""
    return f"Receipt {each.number} ({each.status}), {each.kind}: {exact_text(each.cost_micro)} {currency}"


def rejected_lines(one: Rejected, zone: ZoneInfo) -> list[str]:
    """A line that could not be read, with its text."""
    text = "".join(letter if letter.isprintable() else "·" for letter in one.text)
    return [f"Set aside: line {one.line} of ingest run {one.run_id} ({one.source} {one.origin}, {moment(one.started_at, zone)}): "
            f"{one.reason}", f"  {text[:LONGEST_LINE]}{'…' if len(text) > LONGEST_LINE else ''}"]


def moment(instant: datetime | None, zone: ZoneInfo) -> str:
    """`5 Oct 2026 17:00 UTC` in `zone`; – when there is none."""
    if instant is None:
        return "–"
    local = instant.astimezone(zone)
    return f"{local.day} {local:%b %Y %H:%M %Z}"
