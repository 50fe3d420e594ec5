"""What may be called what, how a node moves between its states, and what its GPUs and its clock are read as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import IllegalMove
from engine.gpu_readings import BadReading, ClockOffset, GpuReading, Gpus, clock_offset, parse_gpus, rate_model, sold_as
from engine.nodes import MOVES, BadNode, BadTenantName, Node, NodeAddress, NodeState, check_move, check_tenant_name
from engine.payments import Outcome
from engine.provisioning import BadTenancy, Holding, NodeTrouble, Step, Tenancy, Trouble
from engine.ssh_keys import parse_public_key
from tests.nodes.keys import ED, GOOD, some_key

ALLOCATION = "alc_01JDQ0000000000000000000AA"
NAMES = [
    "", "a", "Alice", "1alice", "-alice", "alice-", "_alice", "al ice", "al.ice", "alice\n", "alice\nroot", "alice;id", "$(id)",
    "`id`", "alice|id", "alice&", "../alice", "alice/..", "a" * 32, "élodie", "аlice", "alice\0", "alice:x", "alice'", 'alice"',
    "alice*", "-rf", "--help", "root", "sshd", "nobody", "www-data", "ubuntu", "systemd-resolve", "corehours-x", "corehours", "%u",
    "~root", "!!",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_not_plain_or_not_ours_to_give_are_refused(name: str) -> None:
    with pytest.raises(BadTenantName) as refusal:
        check_tenant_name(name)
    assert refusal.value.sentence.isprintable()
    with pytest.raises(BadTenantName):
        Tenancy(ALLOCATION, name, some_key())


@pytest.mark.parametrize("name", ["al", "alice", "a-b_c9", "x" * 31])
def test_plain_names_are_taken(name: str) -> None:
    assert check_tenant_name(name) == name


@pytest.mark.parametrize("id", ["", "alc_1", "alc_" + "a" * 26, f"{ALLOCATION}\n", f"{ALLOCATION} x", "rcpt_01JDQ0000000000000000000AA"])
def test_an_allocation_is_named_as_we_name_them(id: str) -> None:
    with pytest.raises(BadTenancy):
        Tenancy(id, "alice", some_key())


def test_a_node_has_a_plain_name_a_place_and_a_key() -> None:
    key = parse_public_key(ED)
    for host in ("10.0.0.7", "gpu1.lab.example", "fd00::7", "gpu1"):
        assert NodeAddress("gpu1", host, 22, key).host == host
    for name, host, port in (("Gpu 1", "gpu1", 22), ("gpu1", "-oProxyCommand=id", 22), ("gpu1", "gpu1 id", 22), ("gpu1", "a..b", 22),
                             ("gpu1", "", 22), ("gpu1", "fe80::1%eth0", 22), ("gpu1", "gpu1", 0), ("gpu1", "gpu1", 65536)):
        with pytest.raises(BadNode):
            NodeAddress(name, host, port, key)
    with pytest.raises(BadNode, match="ssh-ed25519"):
        NodeAddress("gpu1", "gpu1", 22, parse_public_key(GOOD["rsa 2048"]))


def test_a_node_has_gpus_and_a_model_of_the_rate_card() -> None:
    address = NodeAddress("gpu1", "gpu1", 22, some_key())
    node = Node("nod_1", "main", address, "NVIDIA A100-SXM4-80GB", 4, 81920, "a100", NodeState.AVAILABLE)
    assert node.free_to_take
    for count, model in ((0, "a100"), (4, "A100"), (4, "")):
        with pytest.raises(BadNode):
            Node("nod_1", "main", address, "NVIDIA A100", count, None, model, NodeState.AVAILABLE)


def test_every_move_of_a_node_is_in_the_table() -> None:
    assert set(MOVES) == set(NodeState)
    check_move("gpu1", NodeState.AVAILABLE, NodeState.DRAINING)
    with pytest.raises(IllegalMove, match="gpu1 is quarantined and cannot become available"):
        check_move("gpu1", NodeState.QUARANTINED, NodeState.AVAILABLE)
    for state in NodeState:
        with pytest.raises(IllegalMove):
            check_move("gpu1", NodeState.RETIRED, state)


SMI = """1, 81920, 12000, 97, 64, NVIDIA A100-SXM4-80GB
0, 81920, 4, 0, 31, NVIDIA A100-SXM4-80GB
"""


def test_gpus_are_read_in_order() -> None:
    name = "NVIDIA A100-SXM4-80GB"
    assert parse_gpus(SMI) == (GpuReading(0, name, 81920, 4, 0, 31), GpuReading(1, name, 81920, 12000, 97, 64))
    assert sold_as(parse_gpus(SMI)) == Gpus(name, 2, 81920)


def test_what_the_driver_does_not_know_is_not_zero() -> None:
    reading, = parse_gpus("0, [N/A], [N/A], [Not Supported], N/A, NVIDIA GB10, rev 2")
    assert reading == GpuReading(0, "NVIDIA GB10, rev 2", None, None, None, None)


@pytest.mark.parametrize(("said", "word"), [
    ("", "finds no GPU"), ("No devices were found\n", "finds no GPU"),
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "does not reach"),
    ("0, 81920, 4, 101, 31, A100", "utilization.gpu"), ("0, 81920, 4, -1, 31, A100", "utilization.gpu"),
    ("0, 81920, 4, 97 %, 31, A100", "97 %"),
    ("0, 81920 MiB, 4, 0, 31, A100", "memory.total"), ("0, 81920, 4, 0, ERR!, A100", "ERR!"),
    ("0, 81920, 4, [Unknown Error], 31, A100", "Unknown"),
    ("0, 81920, 4, 0, 31", "nvidia-smi says"), ("0, 81920, 4, 0, 31, [N/A]", "does not name"), ("[N/A], 1, 1, 1, 1, A100", "does not name"),
    ("0, 1, 1, 1, 1, A100\n0, 1, 1, 1, 1, A100", "number"), ("1, 1, 1, 1, 1, A100", "number"), ("0, 1, 1, ١, 1, A100", "utilization"),
    ("0, 1, 1, 1, 1, A100\n" * 65, "more than 64"), ("Segmentation fault", "Segmentation"),
])
def test_what_cannot_be_read_is_refused_and_named(said: str, word: str) -> None:
    with pytest.raises(BadReading, match=word) as refusal:
        parse_gpus(said)
    assert refusal.value.sentence.isprintable()


def test_a_node_with_two_kinds_of_gpu_has_no_price() -> None:
    with pytest.raises(BadReading, match="NVIDIA L4 with 23034 MiB"):
        sold_as(parse_gpus("0, 81920, 4, 0, 31, NVIDIA A100\n1, 23034, 4, 0, 31, NVIDIA L4"))


@pytest.mark.parametrize(("name", "model"), [
    ("NVIDIA A100-SXM4-80GB", "a100"), ("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA GeForce RTX 4090", "rtx4090"), ("Tesla T4", "t4"),
    ("NVIDIA L40S", "l40s"), ("NVIDIA RTX A6000", "rtxa6000"), ("NVIDIA", "gpu")])
def test_a_rate_cards_name_is_proposed(name: str, model: str) -> None:
    assert rate_model(name) == model


NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
EPOCH = 1795867200


@pytest.mark.parametrize(("said", "trip_ms", "offset"), [
    (f"{EPOCH}.020000000", 40, ClockOffset(0, 20)),                  # read in the middle of 40 ms
    (f"{EPOCH + 3600}.020000000\n", 40, ClockOffset(3_600_000, 20)),
    (f"{EPOCH - 1}.000000000", 0, ClockOffset(-1000, 0)),
    (f"{EPOCH}", 0, ClockOffset(500, 500)),                          # whole seconds: anywhere within one
])
def test_a_clock_is_set_beside_ours(said: str, trip_ms: int, offset: ClockOffset) -> None:
    assert clock_offset(said, NOON, NOON + timedelta(milliseconds=trip_ms)) == offset


@pytest.mark.parametrize("said", ["", "%s.%N", "1795867200.%N", "Sat Nov 28", "-5", "1e9", "9" * 40, "1795867200.1234567891"])
def test_what_is_no_time_is_no_offset(said: str) -> None:
    with pytest.raises(BadReading):
        clock_offset(said, NOON, NOON)


def test_our_own_clock_may_not_go_back_meanwhile() -> None:
    with pytest.raises(BadReading, match="Our own clock"):
        clock_offset(str(EPOCH), NOON, NOON - timedelta(seconds=1))


def test_a_trouble_says_whether_the_node_may_have_changed() -> None:
    for outcome, done, changed in ((Outcome.NOT_DONE, (), False), (Outcome.UNKNOWN, (), True), (Outcome.NOT_DONE, (Step.MARK,), True)):
        assert NodeTrouble("x", Trouble.DROPPED, outcome).at(Step.KEY, done).may_have_acted is changed


def test_a_holding_is_compared_with_what_should_be_there() -> None:
    tenancy = Tenancy(ALLOCATION, "alice", parse_public_key(ED))
    there = Holding("alice", ALLOCATION, (f"{ED} corehours:{ALLOCATION}",), open=True, processes=2)
    assert there.fits(tenancy) and not there.at_rest and there.key_allocations == {ALLOCATION}
    assert not Holding("alice", ALLOCATION, (f'command="x" {ED}',), True, 0).fits(tenancy), "options make it another key"
    assert not Holding("alice", ALLOCATION, there.keys, False, 0).fits(tenancy)
    assert not Holding("alice", "", there.keys, True, 0).fits(tenancy)
    assert Holding("alice", "", (), False, 0).at_rest
