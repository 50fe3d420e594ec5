"""An admin adds a node after comparing its key, tests it, moves it, ends what somebody holds; others may look, or not even that."""

from __future__ import annotations

import pytest

from engine.allocations import AllocationState
from engine.looks import Stage
from engine.nodes import BadNode, NodeState
from engine.policy import OPERATOR
from engine.services.looks import add_seen, ask_look, ask_test, confirm_look
from engine.services.nodes import change_node
from engine.users import Role
from tests.allocations.conftest import Lab
from tests.pages_nodes.conftest import Visit, do_jobs, press, said


def test_a_node_is_added_once_its_key_was_compared(visit: Visit, lab: Lab) -> None:
    """Address, key shown and confirmed, GPUs read, added in maintenance."""
    admin = lab.person("root1", role=Role.ADMIN)
    page = visit("admin_nodes", admin)
    assert "No nodes yet" in said(page)
    page = page.button(key="add_node").click().run()
    page.text_input(key="add_name").set_value("h100-7")
    page.text_input(key="add_host").set_value("h100-7.example.org")
    page = press(page, "Look at it")
    assert "A sidecar asks which key is shown there." in said(page)
    do_jobs(lab)
    page = page.run()
    fingerprint = lab.provisioner.host_key("h100-7.example.org", 22).fingerprint
    assert fingerprint in said(page) and "ssh-keygen -lf" in said(page)
    page = press(page, "It is this key")
    assert do_jobs(lab) == ["h100-7 has 8 GPUs"]
    page = page.run()
    assert "8 × NVIDIA H100" in said(page) and page.text_input(key="add_model").value == "h100"
    page = press(page, "Add this node")
    node = lab.store.read(lambda tx: tx.nodes.get("h100-7"))
    assert node is not None and (node.state, node.gpu_count, node.rate_model) == (NodeState.MAINTENANCE, 8, "h100")
    assert node.address.host_key.fingerprint == fingerprint
    assert "'node': ['h100-7']" in said(page)


def test_what_is_refused_of_looks(lab: Lab) -> None:
    lab.node("a100-1")
    with pytest.raises(BadNode, match="There is a node a100-1 already"):
        lab.run(lambda tx: ask_look(tx, "a100-1", "x.example", 22, OPERATOR))
    with pytest.raises(BadNode, match="neither a host name"):
        lab.run(lambda tx: ask_look(tx, "a100-2", "-oProxyCommand=x", 22, OPERATOR))
    look = lab.run(lambda tx: ask_look(tx, "a100-2", "a2.example", 22, OPERATOR))
    do_jobs(lab)
    with pytest.raises(BadNode, match="not SHA256:other"):
        lab.run(lambda tx: confirm_look(tx, look.id, "SHA256:other", OPERATOR))
    with pytest.raises(Exception, match="was not looked at yet"):
        lab.run(lambda tx: add_seen(tx, look.id, "main", OPERATOR))


def test_a_test_notes_what_fits_and_tells_what_does_not(lab: Lab) -> None:
    """Who sells l40s-1 as something else hears of it; a node with another host key is not asked anything."""
    lab.node("l40s-1")
    admin = lab.person("root1", role=Role.ADMIN)
    first = lab.run(lambda tx: ask_test(tx, "l40s-1", admin))
    do_jobs(lab)
    seen = lab.store.read(lambda tx: tx.looks.get(first.id))
    assert seen is not None and seen.stage is Stage.SEEN and seen.probe is not None and len(seen.probe.gpus) == 4
    with lab.store.engine.begin() as connection:
        connection.exec_driver_sql("update node set gpu_count = 2")
    second = lab.run(lambda tx: ask_test(tx, "l40s-1", admin))
    do_jobs(lab)
    seen = lab.store.read(lambda tx: tx.looks.get(second.id))
    assert seen is not None and seen.stage is Stage.TROUBLE and "is sold as 2 ×" in seen.trouble
    with lab.store.engine.begin() as connection:
        connection.exec_driver_sql("update node set port = 2222")
    third = lab.run(lambda tx: ask_test(tx, "l40s-1", admin))
    do_jobs(lab)
    seen = lab.store.read(lambda tx: tx.looks.get(third.id))
    assert seen is not None and "another host key" in seen.trouble and seen.probe is None


@pytest.mark.parametrize(("role", "sees", "acts"), [
    (Role.RESEARCHER, False, False), (Role.AUDITOR, True, False), (Role.FINANCE, True, False), (Role.ADMIN, True, True)])
def test_who_sees_the_inventory_and_who_acts(visit: Visit, lab: Lab, role: Role, sees: bool, acts: bool) -> None:
    lab.node("a100-1")
    lab.active(lab.person("alice", "100"), "a100-1")
    page = visit("admin_nodes", lab.person("somebody", role=role))
    assert not page.exception
    assert ("'who': ['alice']" in said(page)) is sees and ("not for your role" in said(page)) is not sees
    assert any(button.label == "Add node" for button in page.button) is acts
    loop = visit("billing_loop", lab.store.read(lambda tx: tx.users.by_name("somebody")))
    assert ("Charged an hour: 20.00 THB" in said(loop)) is sees and not loop.exception


def test_an_admin_drains_a_node_and_ends_what_runs_with_a_reason(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    alice, admin = lab.person("alice", "100"), lab.person("root1", role=Role.ADMIN)
    taken = lab.active(alice, "a100-1")
    page = visit("admin_nodes", admin)
    page.session_state["dialog"] = ("drain", "a100-1", "node-inventory")        # a row is selected on a canvas
    page = page.run()
    assert "alice holds it" in said(page)
    page = press(page, "Drain node")
    assert "Write a reason of at least 10 characters. Nothing was changed." in page.error[0].value
    page.text_input(key="reason_move_text").set_value("a fan makes noise")
    page = press(page, "Drain node")
    node = lab.store.read(lambda tx: tx.nodes.get("a100-1"))
    assert node is not None and (node.state, node.reason) == (NodeState.DRAINING, "a fan makes noise")
    page.session_state["dialog"] = ("release", taken.id, "node-inventory")
    page = page.run()
    page.text_input(key="reason_release_text").set_value("the rack has to go dark")
    page = press(page, "Force release")
    assert (lab.see(taken).state, lab.see(taken).reason) == (AllocationState.STOPPING, "the rack has to go dark")


def test_limits_are_changed_and_nonsense_is_refused(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    lab.run(lambda tx: change_node(tx, "a100-1", OPERATOR, model="a100", per_user=None, minimum_balance_micro=5_000_000))
    page = visit("admin_nodes", lab.person("root1", role=Role.ADMIN))
    page.session_state["dialog"] = ("limits", "a100-1", "node-inventory")
    page = page.run()
    assert page.text_input(key="limits_least").value == "5.00"
    page.text_input(key="limits_most").set_value("many")
    page = press(page, "Change node")
    assert "is no number of nodes" in page.error[0].value.replace("\\", "")
    page.text_input(key="limits_most").set_value("2")
    page = press(page, "Change node")
    node = lab.store.read(lambda tx: tx.nodes.get("a100-1"))
    assert node is not None and (node.per_user, node.minimum_balance_micro) == (2, 5_000_000)
