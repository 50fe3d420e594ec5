"""The rate-card page: what a card says in words, a new card by form or as text, and the line that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard import rate_words
from dashboard.rate_drafts import lines_around
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.services.rates import publish_text
from engine.users import Role
from tests.pages_operations.conftest import Visit
from tests.pages_operations.conftest import said as said_escaped

FULL = """\
tier: gov
currency: THB
valid_from: 2027-01-01T00:00:00Z
policy: max_of
rounding: per_job_minor
prices:
  cpu: {price: 3, free: 100}
  gpu: {default: 10, a100: 25, h100: {package: 100, price: 2500}}
  node: {steps: [{above: 0, price: 30}, {above: 1000, price: 25, flat: 100}]}
modifiers:
  - {name: peak, hours: 18:00-23:00, days: [mon, tue, wed, thu, fri], factor: 1.2}
  - {name: holidays, dates: [2026-12-31], factor: 0.5}
"""


def said(page: Any) -> str:
    """The page's words as people see them."""
    return said_escaped(page).replace("\\", "")


def test_every_price_and_factor_of_a_card_is_said_in_words() -> None:
    [card] = cards_from_text(f"{FULL}commitment: 500\n")
    assert [(row.meter, row.part, row.price_micro, row.unit, row.once_micro) for row in rate_words.rows(card)] == [
        ("CPU", "the first 100", 0, "per core-hour", 0), ("", "above 100", 3_000_000, "per core-hour", 0),
        ("GPU", "all", 10_000_000, "per GPU-hour", 0), ("GPU a100", "all", 25_000_000, "per GPU-hour", 0),
        ("GPU h100", "in whole packages", 2_500_000_000, "per 100 GPU-hours", 0),
        ("Nodes", "the first 1,000", 30_000_000, "per node-hour", 0), ("", "above 1,000", 25_000_000, "per node-hour", 100_000_000)]
    assert [rate_words.modifier(one) for one in card.modifiers] == [
        ("peak × 1.2", "18:00-23:00, Mon to Fri"), ("holidays × 0.5", "31 Dec 2026")]
    assert [rate_words.short(price) for price in card.prices] == [
        "3.00 after 100 free", "10.00", "25.00", "2,500.00 per 100", "30.00 to 25.00 in 2 steps"]
    assert rate_words.more(card) == "2 GPU models, nodes, 3 by the month, 2 factors, at least 500.00 a month"


def test_the_line_that_is_refused_is_shown_with_its_neighbours() -> None:
    assert lines_around("a\nb\nc\nd", "In line 2, x: no.") == "    1 a\n>   2 b\n    3 c\n    4 d"
    assert lines_around("a", "No card stands in it.") == ""


def test_the_book_shows_tiers_and_projects(visit: Visit, store: Store) -> None:
    project = FULL.replace("tier: gov", "project: ai-lab").replace("2027-01-01", "2020-01-01")
    store.run(lambda tx: publish_text(tx, FULL, OPERATOR))
    store.run(lambda tx: publish_text(tx, project, OPERATOR))
    page = visit("rates", Role.AUDITOR)
    assert not page.exception
    words = said(page)
    for expected in ("3.00 after 100 free", "with peak, holidays", "project, for all tiers", "project:ai-lab-v1", "gov-v2"):
        assert expected in words


def test_the_form_changes_simple_prices_and_keeps_the_rest(visit: Visit, store: Store) -> None:
    store.run(lambda tx: publish_text(tx, FULL, OPERATOR))
    page = visit("rates", Role.ADMIN, new="gov")
    assert "Kept as in gov-v2: CPU, GPU h100, Nodes, peak, holidays." in said(page)
    page.text_input(key="rate_price_gpu_a100").set_value("30.50").run()
    shown = page.code[0].value
    assert "a100: 30.50" in shown
    assert "cpu: {price: 3.00, free: 100}" in shown
    page.text_input(key="rate_price_gpu_a100").set_value("-1").run()
    assert [error.value.replace("\\", "") for error in page.error] == [
        "The rate card cannot be used. In prices.gpu.a100: '-1' is negative; a price is zero or more."]


@pytest.mark.parametrize(("was", "becomes", "sentence", "line"), [
    ("cpu: 3.00", "cpu: -3", "In line 7, prices.cpu: '-3' is negative", ">   7   cpu: -3"),
    ("currency: THB", "currency: EUR", "In line 2, currency: Tier gov is billed in THB", ">   2 currency: EUR"),
])
def test_cards_as_text_are_previewed_with_the_line_that_is_refused(visit: Visit, store: Store, was: str, becomes: str, sentence: str,
                                                                   line: str) -> None:
    page = visit("rates", Role.ADMIN, new="gov", **{"as": "text"})
    text = page.text_area(key="rate_text")
    assert "gov-v2" in said(page)
    before = text.value
    text.set_value(before.replace(was, becomes)).run()
    assert sentence in page.error[0].value.replace("\\", "")
    assert line in page.code[0].value
    assert page.button(key="publish").disabled
    page.text_area(key="rate_text").set_value(before.replace("cpu: 3.00", "cpu: 3.50")).run()
    assert "-  cpu: 3.00\n+  cpu: 3.50\n" in page.code[0].value
    assert not page.button(key="publish").disabled
