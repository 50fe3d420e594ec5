"""Cards as text: what is written reads back; what is wrong is refused with its line and key."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RateError
from engine.meters import Meter
from engine.money import INT64_MAX
from engine.rate_text import card_facts, card_to_text, cards_from_text, cards_to_text, difference, modifiers_of, prices_of, terms
from engine.rates import DEFAULT_CARDS, Modifier, Policy, Price, RateCard, Rounding, Step, flat_prices, next_version, with_prices

CARD = """\
tier: gov
currency: THB
valid_from: 2026-10-01T00:00:00+07:00
policy: used
rounding: per_job_minor
prices: {cpu: 3.25, gpu: 12, mem: 0.000001}
"""
FULL = """\
# gov-v3
tier: gov
currency: THB
valid_from: 2026-10-01T00:00:00+07:00
policy: used
rounding: per_job_minor
time_zone: Asia/Bangkok
prices:
  cpu: {price: 3.00, free: 100}
  gpu:
    default: 10.00
    a100: 25.00
    h100: {package: 100, price: 2500.00}
  mem: 1.00
  node:
    steps:
      - {above: 0, price: 3.00}
      - {above: 1000, price: 2.50, flat: 5.00}
modifiers:
  - {name: peak, hours: 18:00-23:00, factor: 1.2}
  - {name: weekend, days: [sat, sun], factor: 1.1}
  - {name: new year, dates: [2026-12-31, 2027-01-01], factor: 0.5}
  - {name: busy, spans: [2026-11-01T10:00:00+07:00/2026-11-01T12:00:00+07:00], factor: 1.3}
commitment: 500.00
note: Council decision 12/2026
"""
ZERO = datetime(2020, 1, 1, tzinfo=UTC)
MICRO = st.integers(0, INT64_MAX // 10**6)
UNITS = st.integers(1, 10**6)
QUARTERS = st.integers(0, 10**6).map(lambda quarter: ZERO + timedelta(minutes=15 * quarter))


@st.composite
def prices(draw: st.DrawFn, meter: str, model: str = "") -> Price:
    kind = draw(st.sampled_from(("flat", "free", "package", "steps")))
    if kind == "package":
        return Price(meter, (Step(0, draw(MICRO)),), model, draw(UNITS))
    if kind == "free":
        return Price(meter, (Step(0, 0), Step(draw(UNITS), draw(MICRO))), model)
    if kind == "flat":
        return Price(meter, (Step(0, draw(MICRO)),), model)
    above = [0, *sorted(draw(st.sets(UNITS, max_size=4)))]
    return Price(meter, tuple(Step(edge, draw(MICRO), draw(MICRO)) for edge in above), model)


@st.composite
def modifiers(draw: st.DrawFn) -> tuple[Modifier, ...]:
    names = draw(st.lists(st.from_regex(r"[^\W_][\w .()%+-]{0,20}", fullmatch=True).map(str.strip), max_size=4, unique=True))
    hours = st.tuples(st.integers(0, 95), st.integers(0, 96)).filter(lambda pair: pair[0] != pair[1])
    edges = [sorted(draw(st.sets(QUARTERS, max_size=6))) for _ in names]
    return tuple(Modifier(
        name, draw(st.integers(0, 100_000_000)), draw(st.none() | hours.map(lambda pair: (pair[0] * 15, pair[1] * 15))),
        draw(st.frozensets(st.integers(0, 6))), tuple(sorted(draw(st.sets(st.dates(date(2000, 1, 1), date(2100, 1, 1)), max_size=3)))),
        tuple(zip(edge[::2], edge[1::2], strict=False))) for name, edge in zip(names, edges, strict=True))


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    meters = draw(st.sets(st.sampled_from(Meter), min_size=1))
    models = draw(st.sets(st.sampled_from(["a100", "h100", "nvidia_a100_80gb", "3g.20gb"]))) if Meter.GPU in meters else set()
    tier = draw(st.sampled_from(["mu", "gov", ""]))
    policies = list(Policy) if Meter.BILLING in meters else [Policy.USED, Policy.ALLOCATED, Policy.MAX_OF]
    note = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"), max_size=40).map(str.strip)
    return RateCard(
        tier, 0, draw(st.sampled_from(["THB", "JPY"])), ZERO + timedelta(seconds=draw(st.integers(0, 10**9))),
        draw(st.sampled_from(policies)), draw(st.sampled_from(Rounding)),
        (*(draw(prices(str(meter))) for meter in meters), *(draw(prices("gpu", model)) for model in models)),
        draw(modifiers()), least := draw(MICRO), draw(st.sampled_from(["UTC", "Asia/Bangkok", "Europe/Berlin"])),
        "" if tier else draw(st.sampled_from(["ai-lab", "physik_2"])), draw(note), bool(tier and least and draw(st.booleans())))


@given(cards())
@settings(max_examples=60, deadline=None)
def test_what_is_written_reads_back(card: RateCard) -> None:
    """As YAML alone, as YAML in a list, as the JSON of `rates show --json`, and as the terms the rate book keeps."""
    assert cards_from_text(card_to_text(replace(card, version=7))) == [card]
    other = replace(card, valid_from=card.valid_from + timedelta(days=1))
    assert cards_from_text(cards_to_text([card, other])) == [card, other]
    assert cards_from_text(json.dumps([card_facts(card)])) == [card]
    kept = json.loads(json.dumps(terms(card)))
    assert (prices_of(kept), modifiers_of(kept)) == (card.prices, card.modifiers)
    assert (kept["commitment_micro"], kept["commitment_unused"], kept["time_zone"]) == (
        card.commitment_micro, card.commitment_unused, card.time_zone)


def test_the_text_of_a_card_has_a_fixed_order_and_one_price_a_line() -> None:
    [card] = cards_from_text(FULL)
    assert card_to_text(replace(card, version=3)) == FULL
    assert card.price("gpu", "a100") == Price("gpu", (Step(0, 25_000_000),), "a100")
    assert card.price("gpu", "v100") == card.price("gpu") == Price("gpu", (Step(0, 10_000_000),))
    assert card.price("cpu") == Price("cpu", (Step(0, 0), Step(100, 3_000_000)))
    assert card.price_micro("cpu") == 3_000_000
    assert card.modifiers[1] == Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6}))


def test_yaml_out_is_yaml_in() -> None:
    again = cards_from_text(cards_to_text(DEFAULT_CARDS))
    assert [next_version(card, []) for card in again] == list(DEFAULT_CARDS)


def test_two_versions_are_compared_line_by_line() -> None:
    gov = DEFAULT_CARDS[1]
    changed = difference(gov, replace(with_prices(gov, gpu=12_000_000), version=2))
    assert [line for line in changed.splitlines() if line[0] in "+-"] == ["--- gov-v1", "+++ gov-v2", "-  gpu: 10.00", "+  gpu: 12.00"]


def test_prices_are_exact() -> None:
    [card] = cards_from_text(CARD)
    assert [card.price_micro(meter) for meter in ("cpu", "gpu", "mem", "node")] == [3_250_000, 12_000_000, 1, 0]
    assert card.valid_from == datetime(2026, 9, 30, 17, tzinfo=UTC)


@pytest.mark.parametrize(("was", "becomes", "sentence"), [
    ("cpu: 3.25", "cpu: -3", "line 6, prices.cpu: '-3' is negative"),
    ("cpu: 3.25", "cpu: 0.0000001", "line 6, prices.cpu: '0.0000001' has more than six decimals"),
    ("cpu: 3.25", "cpu: free", "line 6, prices.cpu: 'free' is not an amount"),
    ("cpu: 3.25", "cpu: '1,5'", "line 6, prices.cpu: '1,5' is not an amount"),
    ("cpu: 3.25", "cpu: 99999999999999", "line 6, prices.cpu: '99999999999999' is too large"),
    ("cpu: 3.25", f"cpu: {'9' * 5000}", "is too large"),
    ("mem:", "disk:", "line 6, prices.disk: unknown meter 'disk'; there are cpu, gpu, mem, node"),
    ("mem:", "cpu:", "line 6, prices.cpu: 'cpu' stands here for the second time"),
    ("mem: 0.000001", "mem: {a100: 3}", "line 6, prices.mem: a price of mem is a number"),
    ("gpu: 12", "gpu: {a100: 3}", "line 6, prices.gpu: 'default' is missing"),
    ("gpu: 12", "gpu: {default: 1, A100: 3}", "line 6, prices.gpu.A100: 'A100' is no model"),
    ("gpu: 12", "gpu: {price: 1, free: 1.5}", "line 6, prices.gpu.free: '1.5' is not a whole number of GPU-hours"),
    ("gpu: 12", "gpu: {price: 1, free: 9999999999999999}", "is not a whole number of GPU-hours between 1 and 2,562,047,788,015,215"),
    ("gpu: 12", "gpu: {price: 1, package: 0}", "prices.gpu.package: '0' is not a whole number"),
    ("gpu: 12", "gpu: {price: 1, package: 10, free: 3}", "prices.gpu.free: 'free' and 'package' do not go together"),
    ("gpu: 12", "gpu: {package: 10, steps: [{above: 0, price: 1}]}", "prices.gpu.package: 'package' and 'steps' do not go together"),
    ("gpu: 12", "gpu: {steps: [{above: 5, price: 1}]}", "prices.gpu.steps.above: the first step is above 0"),
    ("gpu: 12", "gpu: {steps: [{above: 0, price: 1}, {above: 0, price: 2}]}", "steps.above: 0 is not more than the step before it, 0"),
    ("{cpu: 3.25, gpu: 12, mem: 0.000001}", "{}", "line 6, prices: no meter has a price"),
    ("currency: THB", "currency: XTS", "line 2, currency: Currency 'XTS' is not one of"),
    ("policy: used", "policy: guessed", "line 4, policy: 'guessed' is not one of used, allocated, max_of, billing_tres"),
    ("policy: used", "policy: billing_tres", "line 6, prices: the policy billing_tres charges the meter billing"),
    ("2026-10-01T00:00:00+07:00", "soon", "line 3, valid_from: valid_from 'soon' is not a time"),
    ("2026-10-01T00:00:00+07:00", "2026-10-01T00:00:00.5Z", "line 3, valid_from: valid_from 2026-10-01T00:00:00.5Z is not a whole second"),
    ("policy: used", "policy: used\nvalid_to: 2026-09-01", "line 5, valid_to: it is not after valid_from"),
    ("policy: used", "policy: used\ntime_zone: Mars/Olympus", "line 5, time_zone: 'Mars/Olympus' is no time zone"),
    ("tier: gov", "tier: gpu_node", "line 1, tier: tier 'gpu_node' is what the usage of GPU nodes is kept under"),
    ("tier: gov", "tier: 'Gov; drop'", "line 1, tier: tier 'Gov; drop' is not a short lower-case word"),
    ("tier: gov", "tier: gov\nproject: lab", "line 1: a card is either of a 'tier' or of a 'project'"),
    ("tier: gov\n", "", "line 1: a card is either of a 'tier' or of a 'project'"),
    ("tier: gov", "project: a b", "line 1, project: project 'a b' is not the name of a Slurm account"),
    ("rounding: per_job_minor\n", "", "line 1: 'rounding' is missing"),
    ("tier: gov", "tier: gov\ncolour:\n  red: 1", "line 2, colour: unknown key 'colour'"),
    ("tier: gov", "tier: [", "line 3: neither YAML nor JSON"),
    ("tier: gov", "tier: &a [*a]", "line 1, tier: a single value is needed here"),
    ("tier: gov", "tier: gov\ncommitment: 1.0000001", "line 2, commitment: '1.0000001' has more than six decimals"),
    ("tier: gov", "tier: gov\ncommitment: {amount: 5, unused: maybe}", "line 2, commitment.unused: 'maybe' is not true or false"),
    ("tier: gov", "tier: gov\ncommitment: {unused: true}", "line 2, commitment: 'amount' is missing"),
    ("tier: gov", "tier: gov\nnote: \"\\0\"", "line 2, note: it has a control character"),
])
def test_a_wrong_card_is_refused_by_line_and_key(was: str, becomes: str, sentence: str) -> None:
    with pytest.raises(RateError) as refusal:
        cards_from_text(CARD.replace(was, becomes, 1))
    assert sentence in refusal.value.sentence


@pytest.mark.parametrize(("modifier", "sentence"), [
    ("{name: peak, factor: 101}", "modifiers.factor: '101' is not a factor between 0 and 100"),
    ("{name: peak, factor: -1}", "modifiers.factor: '-1' is not a factor"),
    ("{name: peak, factor: 1.2, hours: 18:05-23:00}", "modifiers.hours: '18:05-23:00' is not on quarter hours"),
    ("{name: peak, factor: 1.2, hours: 18:00-24:15}", "modifiers.hours: '18:00-24:15' is not within 00:00-24:00"),
    ("{name: peak, factor: 1.2, hours: 6-9}", "modifiers.hours: '6-9' is not a part of the day"),
    ("{name: peak, factor: 1.2, hours: 06:00-06:00}", "modifiers.hours: '06:00-06:00' is empty"),
    ("{name: peak, factor: 1.2, days: [caturday]}", "modifiers.days: 'caturday' is not one of mon, tue"),
    ("{name: peak, factor: 1.2, days: []}", "modifiers.days: the list is empty"),
    ("{name: peak, factor: 1.2, dates: [2026-02-29]}", "modifiers.dates: '2026-02-29' is not a date"),
    ("{name: peak, factor: 1.2, dates: [2026-02-27, 2026-02-27]}", "modifiers.dates: '2026-02-27' stands here for the second time"),
    ("{name: peak, factor: 1.2, spans: [2026-11-01T10:00:00Z/2026-11-01T10:00:30Z]}", "is not on quarter hours"),
    ("{name: peak, factor: 1.2, spans: [2026-11-01T10:00:00Z/2026-11-01T09:00:00Z]}", "ends before it begins"),
    ("{name: peak, factor: 1.2, moon: full}", "modifiers.moon: unknown key 'moon'"),
    ("{name: peak}", "'factor' is missing"),
])
def test_a_wrong_modifier_is_refused_by_line_and_key(modifier: str, sentence: str) -> None:
    with pytest.raises(RateError) as refusal:
        cards_from_text(f"{CARD}modifiers:\n  - {{name: other, factor: 1}}\n  - {modifier}\n")
    assert "In line 9, modifiers" in refusal.value.sentence
    assert sentence in refusal.value.sentence


@pytest.mark.parametrize(("first", "second", "sentence"), [
    ("valid_from: 2026-10-01", "valid_from: 2026-10-01", "In line 11, valid_from: the card of gov in line 1 begins at "
     "2026-10-01T00:00:00Z too"),
    ("valid_from: 2026-10-01\n  valid_to: 2026-11-01", "valid_from: 2026-11-02",
     "In line 12, valid_from: the card of gov in line 1 ends at "
     "2026-11-01T00:00:00Z, this one begins at 2026-11-02T00:00:00Z: a gap lies between them"),
    ("valid_from: 2026-10-01\n  valid_to: 2026-11-01", "valid_from: 2026-10-30", "begins at 2026-10-30T00:00:00Z: they overlap"),
])
def test_cards_of_one_line_neither_overlap_nor_leave_a_gap(first: str, second: str, sentence: str) -> None:
    def card(span: str) -> str:
        return f"- tier: gov\n  currency: THB\n  {span}\n  policy: used\n  rounding: per_job_minor\n  prices:\n    cpu: 1\n"
    with pytest.raises(RateError) as refusal:
        cards_from_text(card(first) + "\n" + card(second))
    assert sentence in refusal.value.sentence
    assert len(cards_from_text(card("valid_from: 2026-10-01\n  valid_to: 2026-11-01") + card("valid_from: 2026-11-01"))) == 2


def test_a_time_without_an_offset_is_one_of_the_cards_own_zone() -> None:
    [card] = cards_from_text(CARD.replace("2026-10-01T00:00:00+07:00", "2026-10-01\ntime_zone: Asia/Bangkok"))
    assert card.valid_from == datetime(2026, 9, 30, 17, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "[]", "- 3", "cards: 3", "3", "a: 1\n---\nb: 2", "[" * 5000, "\0", "cards: []\nmore: 1"])
def test_what_holds_no_card_is_refused(text: str) -> None:
    with pytest.raises(RateError):
        cards_from_text(text)


def test_a_card_follows_the_newest_of_its_line() -> None:
    [card] = cards_from_text(CARD)
    second = next_version(card, DEFAULT_CARDS)
    assert second.name == "gov-v2"
    with pytest.raises(RateError, match="is not after that of gov-v2"):
        next_version(card, [*DEFAULT_CARDS, second])
    lab = replace(card, tier="", project="lab")
    assert (next_version(lab, DEFAULT_CARDS).name, lab.line) == ("project:lab-v1", "project:lab")


def test_a_card_begins_at_a_whole_second() -> None:
    """Jobs are priced by whole seconds: a card from 10:00:00.5 would take over at 10:00:00, before its own time."""
    [card] = cards_from_text(CARD)
    with pytest.raises(RateError, match="is not a whole second"):
        next_version(replace(card, valid_from=card.valid_from + timedelta(microseconds=500_000)), DEFAULT_CARDS)


def test_a_currency_does_not_change_inside_a_line() -> None:
    [card] = cards_from_text(CARD.replace("THB", "USD"))
    with pytest.raises(RateError, match="billed in THB; a card in USD cannot follow gov-v1"):
        next_version(card, DEFAULT_CARDS)


def test_flat_prices_stand_in_the_order_of_the_meters() -> None:
    card = replace(DEFAULT_CARDS[0], prices=flat_prices(mem=1, cpu=2))
    assert [price.meter for price in card.prices] == ["cpu", "mem"]


def test_a_receipt_names_a_price_only_where_every_unit_cost_the_same() -> None:
    [full] = cards_from_text(FULL)
    plain = replace(full, modifiers=())
    assert [full.only_price_micro("mem"), plain.only_price_micro("mem"), plain.only_price_micro("tokens")] == [None, 1_000_000, 0]
    assert [plain.only_price_micro(meter) for meter in ("cpu", "gpu", "node")] == [None, None, None]
    assert replace(plain, policy=Policy.MAX_OF).only_price_micro("mem") is None
