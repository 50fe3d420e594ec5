"""A GPU node in a real browser beside a real sidecar: taken with two clicks, active on the open page, released; and, watched without a
reload, a wallet that runs dry.

Nodes are the dummy's. Charges are made each second, so that a wallet of some satang lasts for some seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from playwright.sync_api import Page, expect

from data.postgres.invariants import INVARIANTS, violations
from engine.allocations import Allocation, AllocationState
from engine.policy import OPERATOR
from engine.services.nodes import change_node
from engine.users import Role
from tests.allocations.conftest import Lab
from tests.browser.conftest import Site, add_person, entered, running, settled
from tests.browser.profiles import Profiles
from tests.payments.conftest import wait_until
from tests.programs import Programs
from webhooks.provisioners.dummy import DummyProvisioner

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("COREHOURS_TEST_SHOTS", "")
Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def centre(programs: Programs, server_url: str, template: str, front_port: int,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two nodes, alice with 100 THB, poor with 0.06: at 20 THB an hour that is eleven seconds."""
    every_second = patch.dict(os.environ, COREHOURS_BILLING_INTERVAL_SECONDS="1")
    with every_second, running(programs, server_url, template, tmp_path_factory.mktemp("nodes"), front_port, "webhooks") as site:
        lab = Lab(site.store, DummyProvisioner())
        for name, amount in (("alice", "100"), ("poor", "0.06")):
            add_person(site, name, Role.RESEARCHER)
            lab.fill(name, amount)
        for node in ("a100-01", "a100-02"):
            lab.node(node)
        lab.run(lambda tx: change_node(tx, "a100-02", OPERATOR, model="a100", per_user=None, minimum_balance_micro=0))
        yield site


@pytest.fixture
def enter(centre: Site, profiles: Profiles) -> Iterator[Enter]:
    """`enter("alice", "/nodes")`: a page of a fresh profile in which alice has signed in."""
    with profiles.lent() as new_page:
        yield lambda name, path: entered(centre, new_page(), name, path)


def take(page: Page, node: str) -> None:
    """Open the node's dialog and take it with a new key; wait until that key is shown."""
    page.get_by_label("Search").fill(node)
    page.get_by_label("Search").press("Enter")
    expect(page.get_by_text("1 node", exact=True)).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Take…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(f"Take {node}?")).to_be_visible()
    dialog.get_by_role("button", name="Take node").dblclick()
    expect(page.get_by_role("dialog").get_by_text("Keep this key")).to_be_visible()


def test_a_node_is_taken_used_and_released_on_one_page(enter: Enter, centre: Site) -> None:
    """Two clicks (the second one doubled), the key downloaded, active without a reload, released: one allocation, charged once."""
    page = enter("alice", "/nodes")
    take(page, "a100-01")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download private key").click()
    private = Path(coming.value.path()).read_text()
    assert coming.value.suggested_filename == "corehours-a100-01" and private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    page.get_by_role("dialog").get_by_role("button", name="I have the key").click()
    expect(page.get_by_role("dialog")).not_to_be_visible()
    mine = page.locator("[class*='st-key-held_']")
    expect(mine.get_by_text("Active", exact=True)).to_be_visible()
    expect(mine.get_by_text("ssh alice@a100-01.example")).to_be_visible()
    expect(mine.get_by_text("charged to")).to_be_visible()
    [taken] = of(centre, "alice")
    mine.get_by_role("button", name="Release…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Charging stops with this second")).to_be_visible()
    dialog.get_by_role("button", name="Release node").click()
    expect(mine).not_to_be_visible()
    wait_until(lambda: of(centre, "alice")[0].state is AllocationState.RELEASED, "released")
    page.goto(f"/allocation?id={taken.id}")
    expect(page.get_by_text("Released", exact=True).first).to_be_visible()
    assert "PRIVATE" not in page.content() and private.splitlines()[2] not in centre.dashboard.said()
    adds_up(centre)


@pytest.mark.long
def test_a_wallet_runs_dry_while_its_holder_watches(enter: Enter, centre: Site) -> None:
    """Active, warned, depleted, released: told on the open page, nobody touched it."""
    page = enter("poor", "/nodes")
    take(page, "a100-02")
    page.get_by_role("dialog").get_by_role("button", name="I have the key").click()
    expect(page.locator("[class*='st-key-held_']").get_by_text("Active", exact=True)).to_be_visible()
    expect(page.get_by_test_id("stToast").get_by_text("lasts for less than ten minutes")).to_be_visible()
    expect(page.get_by_test_id("stToast").get_by_text("Wallet poor is empty")).to_be_visible()
    expect(page.locator("[class*='st-key-held_']")).not_to_be_visible()
    [ended] = of(centre, "poor")
    wait_until(lambda: of(centre, "poor")[0].state is AllocationState.RELEASED, "released")
    assert (ended.charged_micro, ended.billed_seconds) == (10 * 20_000_000 // 3600, 10)
    assert centre.store.read(lambda tx: tx.wallets.get("poor", "THB").balance_micro) == 60_000 - ended.charged_micro
    adds_up(centre)


def of(centre: Site, name: str) -> list[Allocation]:
    """Somebody's allocations."""
    return [one for one in centre.store.read(lambda tx: tx.allocations.newest()) if one.holder == name]


def adds_up(centre: Site) -> None:
    """Every promise holds."""
    assert centre.store.read(lambda tx: [where for promise in INVARIANTS if (where := violations(tx, promise)[1])]) == []
