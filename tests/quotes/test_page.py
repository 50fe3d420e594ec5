"""The quote page: fields or a script, an address that says it all, sentences instead of tracebacks, nobody else's prices."""

from __future__ import annotations

import pytest

from data.postgres.store import Store
from engine.money import Money
from engine.policy import OPERATOR
from engine.services.adjustments import request_adjustment
from engine.users import Role
from tests.pages_operations.conftest import Visit, said, visit  # noqa: F401  a fixture

GOLDEN = {"cpus": "16", "mem": "128G", "gpus": "2", "model": "a100", "time": "2-00:00:00"}
SCRIPT = "#!/bin/bash\n#SBATCH -c 16 --gres=gpu:a100:2\n#SBATCH --mem=128G --time=2-00:00:00\nsrun train\n"


@pytest.mark.parametrize("role", list(Role))
def test_the_page_opens_for_every_role_with_a_price(visit: Visit, role: Role) -> None:    # noqa: F811
    page = visit("quote", role)
    assert not page.exception and "At most" in said(page)


def test_an_address_is_a_quote(visit: Visit) -> None:    # noqa: F811
    """768 core-hours × 1, 96 GPU-hours × 5, 6,144 GiB-hours × 0.50."""
    page = said(visit("quote", Role.RESEARCHER, **GOLDEN))
    assert "At most, THB: 4,320.00" in page and "16 CPUs, 2 GPUs" in page
    assert "768.0" in page and "6144.0" in page and "half the memory" in page


def test_it_says_what_the_wallet_lacks_and_what_it_would_leave(visit: Visit, store: Store) -> None:    # noqa: F811
    short = GOLDEN | {"time": "2:00:00"}
    page = said(visit("quote", Role.RESEARCHER, **short)).replace("\\", "")
    assert "Missing" in page and "180.00 THB" in page
    store.run(lambda tx: tx.payers.ensure(["researcher"], "mu"), actor="operator")
    money = Money(500_000_000, "THB")
    store.run(lambda tx: request_adjustment(tx, "researcher", money, "to begin with", OPERATOR), actor="operator")
    page = said(visit("quote", Role.RESEARCHER, **short)).replace("\\", "")
    assert "This quote would leave" in page and "320.00 THB" in page and "Missing" not in page


def test_a_script_is_the_same_quote(visit: Visit) -> None:    # noqa: F811
    page = visit("quote", Role.RESEARCHER, by="Script")
    assert "Paste or upload a job script" in said(page) and not page.exception
    page.text_area(key="script").set_value(SCRIPT).run()
    assert "At most, THB: 4,320.00" in said(page)


@pytest.mark.parametrize(("script", "words"), [
    ("#!/bin/bash\n#SBATCH -c 16\n", "No time is asked for"), ("echo hello", "begins with"),
    ("#!/bin/bash\n#SBATCH -t 10 --mem=4Q\n", "is no size such as"),
    ("#!/bin/sh\n#SBATCH -t 1 [x](http://evil) -c 2", "no option of sbatch")])
def test_a_script_that_cannot_be_read_is_a_sentence(visit: Visit, script: str, words: str) -> None:    # noqa: F811
    page = visit("quote", Role.RESEARCHER, by="Script")
    page.text_area(key="script").set_value(script).run()
    assert words in said(page).replace("\\", "") and "At most" not in said(page) and not page.exception
    assert "[x](http" not in said(page)


def test_only_who_sees_the_rate_book_may_choose_a_tier(visit: Visit) -> None:    # noqa: F811
    """9,408.00 is the price of tier gov."""
    assert "At most, THB: 9,408.00" in said(visit("quote", Role.ADMIN, tier="gov", **GOLDEN))
    page = visit("quote", Role.RESEARCHER, tier="gov", **GOLDEN)
    assert "At most, THB: 4,320.00" in said(page) and not [one for one in page.selectbox if one.key == "tier"]
