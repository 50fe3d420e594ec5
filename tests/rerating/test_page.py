"""The what-if page: what it says, to whom, and what its two buttons do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from data.postgres.store import Store
from engine.users import Role
from tests.engine.usage_frames import run
from tests.flows.examples import bill, keep_runs
from tests.pages_operations.conftest import Visit, said, visit  # noqa: F401  fixture

YESTERDAY = int((datetime.now(UTC) - timedelta(days=1)).timestamp())
AT_MU, AT_GPU_3 = "28.20", "24.20"      # the golden run; with the GPU at 3.00 instead of 5.00


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing kept from another test's database."""
    st.cache_data.clear()
    yield


def jobs(store: Store, count: int = 1) -> None:
    keep_runs(store, *(run(number, end_at=YESTERDAY - number, start_at=YESTERDAY - 7200, submit_at=YESTERDAY - 7200 - number)
                       for number in range(count)))


def field(page: AppTest, label: str) -> Any:
    return next(one for one in page.text_input if one.label == label)


def button(page: AppTest, label: str) -> Any:
    return next(one for one in page.button if one.label == label)


def test_a_cheaper_gpu(visit: Visit, store: Store) -> None:    # noqa: F811
    jobs(store)
    page = visit("what_if", Role.ADMIN, card="mu-v1")
    assert f"As charged: {AT_MU} (1 job)" in said(page) and "Difference: 0.00 (no change)" in said(page)
    assert "Nothing differs: every account pays what it was charged." in said(page)
    field(page, "GPU, THB per GPU-hour").input("3").run()
    words = said(page)
    assert f"By the draft: {AT_GPU_3} (THB)" in words and "Difference: −4.00 (−14%)" in words
    assert "Of it on receipts: 0.00 (0 jobs)" in words and "'alice'" in words


def test_what_stands_on_receipts_is_told_apart(visit: Visit, store: Store) -> None:    # noqa: F811
    jobs(store, 2)
    bill(store, before=datetime.fromtimestamp(YESTERDAY, UTC))
    page = visit("what_if", Role.FINANCE, card="mu-v1")
    field(page, "GPU, THB per GPU-hour").input("3").run()
    assert "Of it on receipts: −4.00 (1 job)" in said(page)


@pytest.mark.parametrize(("text", "sentence"), [
    ("tier: mu", "is missing"), ("[", "neither YAML nor JSON"),
    ("{tier: mu, currency: USD, valid_from: 2026-01-01, policy: used, rounding: per_job_minor, prices: {cpu: 1, gpu: 1, mem: 1}}",
     "is billed in THB")])
def test_a_text_that_cannot_be_tried_is_answered_in_a_sentence(visit: Visit, store: Store, text: str, sentence: str) -> None:  # noqa: F811
    jobs(store)
    page = visit("what_if", Role.ADMIN, card="mu-v1")
    page.session_state["what_if_mode"] = "text"
    page.session_state["what_if_text_mu-v1"] = text
    page.run()
    assert not page.exception and sentence in said(page)


def test_prices_are_published_by_admins_only(visit: Visit, store: Store) -> None:    # noqa: F811
    jobs(store)
    assert {"Publish…", "Re-rate…"} <= {one.label for one in visit("what_if", Role.ADMIN).button}
    for role in (Role.FINANCE, Role.AUDITOR):
        assert not {"Publish…", "Re-rate…"} & {one.label for one in visit("what_if", role).button}


def test_re_rating_says_first_what_it_does_to_receipts(visit: Visit, store: Store) -> None:    # noqa: F811
    jobs(store, 2)
    bill(store, before=datetime.fromtimestamp(YESTERDAY, UTC))
    page = visit("what_if", Role.ADMIN, card="mu-v1")
    field(page, "GPU, THB per GPU-hour").input("3").run()
    assert button(page, "Re-rate…").disabled                # the draft begins next month
    page.date_input(key="what_if_from").set_value(datetime.fromtimestamp(YESTERDAY - 86_400, UTC).date()).run()
    button(page, "Re-rate…").click().run()
    assert "**2 jobs** that ended since" in said(page) and "1 job of them stands on issued receipts" in said(page)
    assert "adjustments of −4.00 THB" in said(page)
    assert len(store.read(lambda tx: tx.rates.book())) == 3   # nothing is published by looking
