"""What only real nodes can show: accounts and files as they are, traps that tenants leave, faults of machines and of lines.

On every node the record of what ran is compared with what the product may run at all.
"""

from __future__ import annotations

import fcntl
import logging
import pwd
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from data.ssh_keys import new_key_pair
from engine.gpu_readings import BadReading
from engine.nodes import BadTenantName, NodeAddress
from engine.payments import Outcome
from engine.provisioning import PROVISION, BadTenancy, NodeTrouble, Step, Tenancy, Trouble
from engine.ssh_keys import BadPublicKey, KeyKind, PublicKey, parse_public_key
from tests.nodes.hanging import HANGS_SECONDS, hanging_node
from tests.nodes.keys import BAD, GOOD
from tests.nodes.rigs import TOOL, SshRig, allocation
from tests.nodes.test_names_and_readings import NAMES
from tests.nodes.test_provisioner_contract import gone, on
from tests.rigs.gpu_nodes import GpuNodes
from webhooks.provisioners.ssh import SshProvisioner
from webhooks.provisioners.ssh_line import Patience, open_line


@pytest.fixture
def rig(nodes: GpuNodes) -> Iterator[SshRig]:
    """A node without PAM that nobody is on."""
    made = SshRig(nodes, nodes.nodes[0])
    yield made
    made.close()
    made.at.gpus([])
    made.at.load(0)
    made.at.forget()


def allowed(rig: SshRig) -> set[str]:
    """Every command line there is."""
    provisioner = rig.provisioner
    assert isinstance(provisioner, SshProvisioner)
    all_of = provisioner.commands
    return {command.words for command in (*all_of.steps.values(), all_of.inspect, all_of.missing, all_of.gpus, all_of.clock)}


def shadow(user: str) -> tuple[str, str]:
    """The password and the day of expiry of an account."""
    fields = subprocess.run(["getent", "shadow", user], capture_output=True, text=True, check=True).stdout.strip().split(":")
    return fields[1], fields[7]


# what it is like to be on a node


@pytest.mark.parametrize("pam", [False, True])
def test_a_tenant_works_on_a_node_and_is_off_it_with_all_that_runs(nodes: GpuNodes, pam: bool) -> None:
    rig = SshRig(nodes, next(node for node in nodes.nodes if node.pam is pam))
    guest = rig.guest()
    user = guest.tenancy.user
    rig.provisioner.provision(rig.node, guest.tenancy)
    home = Path(pwd.getpwnam(user).pw_dir)
    kept = home / ".ssh" / "authorized_keys"
    assert [stat.S_IMODE(place.stat().st_mode) for place in (home, kept.parent, kept)] == [0o700, 0o700, 0o600]
    assert {place.owner() for place in (home, kept.parent, kept)} == {user}
    assert kept.read_text() == f"{guest.key.public.line} corehours:{guest.tenancy.allocation}\n", "the comment is ours"
    assert shadow(user) == ("*", ""), "open by key, closed by password"
    work = "trap '' TERM HUP; setsid sleep 60 >/dev/null 2>&1 & nvidia-smi --query-gpu=name --format=csv,noheader,nounits"
    said = nodes.log_in(rig.at, user, guest.key, work)
    assert said.stdout.count("A100") == 4
    with subprocess.Popen(["sleep", "20"], user=pwd.getpwnam(user).pw_uid) as still_running:
        rig.provisioner.release(rig.node, guest.tenancy)
        assert still_running.wait(10) == -9
    assert shadow(user)[1] == "1" and not kept.exists()
    refused = nodes.log_in(rig.at, user, guest.key)
    assert (refused.returncode, refused.stdout) == (255, "") and "Permission denied" in refused.stderr


COMET = """setsid perl -e '$until = time + 6; while (time < $until) {
    exit if fork; utime undef, undef, "beat"; select undef, undef, undef, 0.004 }' >/dev/null 2>&1 &"""


def test_a_process_that_is_always_another_one_ends_too(rig: SshRig) -> None:
    """It forks and exits without end, and whoever looks for it by number finds nothing; its file shows whether it is there."""
    guest = rig.guest()
    rig.provisioner.provision(rig.node, guest.tenancy)
    rig.nodes.log_in(rig.at, guest.tenancy.user, guest.key, f"touch beat; {COMET}")
    beat = Path(pwd.getpwnam(guest.tenancy.user).pw_dir) / "beat"
    begun = beat.stat().st_mtime_ns
    while beat.stat().st_mtime_ns == begun:
        time.sleep(0.05)
    rig.provisioner.release(rig.node, guest.tenancy)
    last = beat.stat().st_mtime_ns
    time.sleep(0.5)
    assert beat.stat().st_mtime_ns == last, "it still runs"


@pytest.mark.parametrize("pam", [False, True])
def test_a_closed_account_is_closed_even_with_its_key(nodes: GpuNodes, pam: bool) -> None:
    rig = SshRig(nodes, next(node for node in nodes.nodes if node.pam is pam))
    guest = rig.guest()
    rig.provisioner.provision(rig.node, guest.tenancy, PROVISION[:-1])
    assert not rig.lets_in(guest), "before it is opened"
    rig.provisioner.provision(rig.node, guest.tenancy)
    assert rig.lets_in(guest)
    rig.provisioner.release(rig.node, guest.tenancy, (Step.CLOSE,))
    assert on(rig, guest).has_key(guest.key.public) and not rig.lets_in(guest)
    rig.provisioner.release(rig.node, guest.tenancy)


TRAPS = {
    "a link to a folder of root's": "rm -rf .ssh; ln -s {target} .ssh",
    "a link to a file of root's": "rm .ssh/authorized_keys; ln -s {target}/authorized_keys .ssh/authorized_keys",
    "a folder that cannot be entered":
        "rm .ssh/authorized_keys; mkdir -p .ssh/authorized_keys/x; chmod 000 .ssh/authorized_keys; chmod 500 .; chmod 0 .ssh",
    "a pipe, and a second key file": "cp .ssh/authorized_keys .ssh/authorized_keys2; rm .ssh/authorized_keys; mkfifo .ssh/authorized_keys",
    "a pipe where ours is written, and a home that is everybody's": "mkfifo .ssh/.corehours-new; chmod 777 . .ssh",
}


def test_traps_in_a_home_lead_root_nowhere(rig: SshRig) -> None:
    """Each is there when the key is written anew, when the node is looked at, and when the key is removed."""
    target = rig.at.folder / "roots"
    target.mkdir(exist_ok=True)
    (target / "authorized_keys").write_text("root's own\n")
    guest = rig.guest()
    rig.provisioner.provision(rig.node, guest.tenancy)
    for trap, words in TRAPS.items():
        for step in (Step.KEY, Step.UNKEY):
            said = rig.nodes.log_in(rig.at, guest.tenancy.user, guest.key, f"set -e; {words.format(target=target)}")
            assert said.returncode == 0, f"{trap}, before {step}: {said.stderr}"
            assert step is Step.UNKEY or on(rig, guest).allocation == guest.tenancy.allocation, trap
            rig.provisioner.provision(rig.node, guest.tenancy, (step,))
        assert not on(rig, guest).keys, trap
        assert ((target / "authorized_keys").read_text(), target.owner()) == ("root's own\n", "root"), trap
        rig.provisioner.provision(rig.node, guest.tenancy, (Step.KEY,))
    assert rig.lets_in(guest)
    rig.provisioner.release(rig.node, guest.tenancy)
    assert gone(rig, guest)


def test_keys_that_a_tenant_added_are_seen_and_go_when_theirs_is_written_or_removed(rig: SshRig) -> None:
    guest, friend = rig.guest(), new_key_pair()
    rig.provisioner.provision(rig.node, guest.tenancy)
    more = (f"cd .ssh; echo '{friend.public.line} user\tkey' >>authorized_keys; cp authorized_keys authorized_keys2; "
            "printf 'user\\troot\\talc_1\\t1\\t0\\nend\\n\\377' >>authorized_keys")
    rig.nodes.log_in(rig.at, guest.tenancy.user, guest.key, more)
    found = on(rig, guest)
    assert len(found.keys) == 7 and found.fits(guest.tenancy) and found.processes == 0
    assert "root" not in {holding.user for holding in rig.provisioner.inspect(rig.node)}, "nothing is made up"
    rig.provisioner.provision(rig.node, guest.tenancy, (Step.KEY,))
    assert len(on(rig, guest).keys) == 1
    rig.nodes.log_in(rig.at, guest.tenancy.user, guest.key, more)
    assert rig.nodes.log_in(rig.at, guest.tenancy.user, friend).returncode == 0
    rig.provisioner.release(rig.node, guest.tenancy)
    assert rig.nodes.log_in(rig.at, guest.tenancy.user, friend).returncode == 255


# what machines and lines do


@pytest.mark.parametrize("step", [Step.ACCOUNT, Step.CLOSE, *(pytest.param(step, marks=pytest.mark.long) for step in TOOL
                                                              if step not in (Step.ACCOUNT, Step.CLOSE))])
def test_a_step_that_was_killed_half_way_is_completed(rig: SshRig, step: Step) -> None:
    guest = rig.guest()
    ask = rig.provisioner.provision if step in PROVISION else rig.provisioner.release
    if step not in PROVISION:
        rig.provisioner.provision(rig.node, guest.tenancy)
        rig.works(guest)
    rig.at.fault(f"{step} half {TOOL[step]}")
    with pytest.raises(NodeTrouble) as trouble:
        ask(rig.node, guest.tenancy)
    assert (trouble.value.trouble, trouble.value.outcome, trouble.value.step) == (Trouble.DROPPED, Outcome.UNKNOWN, step)
    rig.mend()
    ask(rig.node, guest.tenancy)
    assert rig.lets_in(guest) is (step in PROVISION)
    rig.provisioner.release(rig.node, guest.tenancy)
    assert gone(rig, guest)


def test_a_step_that_hangs_is_ended_on_the_node_too(rig: SshRig) -> None:
    guest, hasty = rig.guest(), SshProvisioner(rig.nodes.management.private, patience=Patience(step_seconds=1))
    rig.at.fault("key hang setpriv")
    with pytest.raises(NodeTrouble) as trouble:
        hasty.provision(rig.node, guest.tenancy)
    assert (trouble.value.trouble, trouble.value.outcome, trouble.value.step) == (Trouble.TIMED_OUT, Outcome.UNKNOWN, Step.KEY)
    rig.mend()
    rig.provisioner.provision(rig.node, guest.tenancy)          # its lock was let go
    rig.provisioner.release(rig.node, guest.tenancy)


def test_a_command_that_outlives_its_own_limit_is_left(rig: SshRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.provisioners.ssh_line.MARGIN_SECONDS", 0.5)
    provisioner = rig.provisioner
    assert isinstance(provisioner, SshProvisioner)
    endless = replace(provisioner.commands.clock, words="sleep 20", seconds=0, effect=True)
    before = time.monotonic()
    with provisioner._line(rig.node) as line, pytest.raises(NodeTrouble) as trouble:
        line.run(endless)
    assert (trouble.value.trouble, trouble.value.outcome) == (Trouble.TIMED_OUT, Outcome.UNKNOWN)
    assert time.monotonic() - before < 15, "not for as long as the command takes"


def test_gpus_that_hang_fail_or_are_not_there(rig: SshRig) -> None:
    hasty = SshProvisioner(rig.nodes.management.private, patience=Patience(read_seconds=1))
    rig.at.gpus("hang")
    with pytest.raises(NodeTrouble) as trouble:
        hasty.sample(rig.node)
    assert (trouble.value.trouble, trouble.value.may_have_acted) == (Trouble.TIMED_OUT, False)
    rig.at.gpus("broken")
    with pytest.raises(BadReading, match="does not reach the NVIDIA driver"):
        rig.provisioner.probe(rig.node)
    smi = rig.at.folder / "bin" / "nvidia-smi"
    smi.rename(smi.with_name("hidden"))
    try:
        with pytest.raises(NodeTrouble) as trouble:
            rig.provisioner.probe(rig.node)
    finally:
        smi.with_name("hidden").rename(smi)
    assert trouble.value.trouble is Trouble.NOT_PREPARED and "nvidia-smi" in trouble.value.detail


def test_another_host_key_is_told_nothing(rig: SshRig) -> None:
    key, ran = rig.at.host_key, len(rig.at.ran())
    rig.at.another_host_key(new_key_pair())
    try:
        with pytest.raises(NodeTrouble, match=r"SHA256:.* instead of SHA256:") as trouble:
            rig.provisioner.provision(rig.node, rig.guest().tenancy)
    finally:
        rig.at.another_host_key(key)
    assert (trouble.value.trouble, trouble.value.outcome) == (Trouble.HOST_KEY, Outcome.REFUSED)
    assert len(rig.at.ran()) == ran and "Accepted" not in rig.at.log().splitlines()[-1]
    rig.provisioner.inspect(rig.node)


@pytest.mark.parametrize("says", [b"", b"SSH-1.5-old\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 64])
def test_what_answers_and_is_no_node_of_ours(rig: SshRig, says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        def answer() -> None:
            with server.accept()[0] as one:
                one.sendall(says)
        pool.submit(answer)
        with pytest.raises(NodeTrouble) as trouble:
            rig.provisioner.probe(replace(rig.node, port=server.getsockname()[1]))
    assert trouble.value.trouble in (Trouble.SILENT, Trouble.NOT_PREPARED) and not trouble.value.may_have_acted


@pytest.mark.parametrize(("at", "trouble", "outcome"), [
    ("banner", Trouble.SILENT, Outcome.NOT_DONE), ("login", Trouble.SILENT, Outcome.NOT_DONE),
    ("channel", Trouble.DROPPED, Outcome.NOT_DONE), ("command", Trouble.TIMED_OUT, Outcome.UNKNOWN)])
def test_no_wait_is_without_end(at: str, trouble: Trouble, outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that speaks SSH up to a point, and then says nothing more or nothing that leads on."""
    monkeypatch.setattr("webhooks.provisioners.ssh_line.MARGIN_SECONDS", 0.2)
    brief = Patience(banner_seconds=0.3, keys_seconds=5 if at != "banner" else 0.3, login_seconds=0.3, channel_seconds=0.3, step_seconds=0)
    key, management = new_key_pair(), new_key_pair()
    before = time.monotonic()
    with hanging_node(at, key) as port, pytest.raises(NodeTrouble) as said:
        SshProvisioner(management.private, patience=brief).provision(
            NodeAddress("gpu1", "127.0.0.1", port, key.public), Tenancy(allocation(), "alice", key.public))
    assert (said.value.trouble, said.value.outcome, "login" in said.value.detail) == (trouble, outcome, at == "login")
    assert time.monotonic() - before < HANGS_SECONDS, "it did not wait for the end of it"


def test_a_full_disk_ends_clean(rig: SshRig) -> None:
    guest = rig.guest()
    with _small_disk(rig.at.state):
        with pytest.raises(NodeTrouble) as trouble:
            rig.provisioner.provision(rig.node, guest.tenancy)
        assert (trouble.value.trouble, trouble.value.step) == (Trouble.FULL, Step.MARK)
        assert not rig.lets_in(guest)
        _empty(rig.at.state)
        rig.provisioner.provision(rig.node, guest.tenancy)
        _fill(rig.at.state)
        with pytest.raises(NodeTrouble):
            rig.provisioner.release(rig.node, guest.tenancy)
        assert not rig.lets_in(guest) and not on(rig, guest).keys, "what can be done is done"
        assert on(rig, guest).allocation == guest.tenancy.allocation, "and it is seen that it is not finished"
        _empty(rig.at.state)
        rig.provisioner.release(rig.node, guest.tenancy)
        assert gone(rig, guest)


@contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    """A disk of 64 KiB at `place`, full."""
    place.mkdir(exist_ok=True)
    for name in ("marks", "users", "over"):
        (place / name).mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755,nr_inodes=20", "tmpfs", str(place)], capture_output=True,
                      check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        for name in ("marks", "users", "over"):
            (place / name).mkdir()
        (place / "lock").touch()
        _fill(place)
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _empty(place: Path) -> None:
    for file in (place / "filler", *place.glob("name*")):
        file.unlink()


def _fill(place: Path) -> None:
    """Not a byte and not a name is left."""
    number = 0
    try:
        while True:
            (place / f"name{number}").touch()
            number += 1
    except OSError:
        (place / "name0").unlink()
    try:
        with (place / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 1024)
    except OSError:
        return


def test_a_step_waits_for_another_on_the_same_node(rig: SshRig) -> None:
    guest, hasty = rig.guest(), SshProvisioner(rig.nodes.management.private, patience=Patience(step_seconds=1))
    rig.provisioner.inspect(rig.node)
    with (rig.at.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NodeTrouble) as trouble:
            hasty.provision(rig.node, guest.tenancy)
    assert (trouble.value.trouble, trouble.value.step) == (Trouble.TIMED_OUT, Step.MARK)
    assert not (rig.at.state / "marks" / guest.tenancy.user).exists()


def test_five_at_once_on_five_nodes(nodes: GpuNodes) -> None:
    rigs = [SshRig(nodes, node) for node in nodes.nodes]
    guests = [rig.guest() for rig in rigs]
    with ThreadPoolExecutor(len(rigs)) as pool:
        list(pool.map(lambda rig, guest: rig.provisioner.provision(rig.node, guest.tenancy), rigs, guests))
        assert all(pool.map(lambda rig, guest: rig.lets_in(guest), rigs, guests))
        list(pool.map(lambda rig, guest: rig.provisioner.release(rig.node, guest.tenancy), rigs, guests))
        assert not any(pool.map(lambda rig, guest: rig.lets_in(guest), rigs, guests))


def test_five_at_once_on_one_node_are_one(rig: SshRig) -> None:
    guests = [rig.guest() for _ in range(5)]

    def won(number: int) -> bool:
        try:
            rig.provisioner.provision(rig.node, guests[number].tenancy)
        except NodeTrouble as trouble:
            assert (trouble.trouble, trouble.may_have_acted) == (Trouble.OCCUPIED, False)
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        winners = [number for number, winner in enumerate(pool.map(won, range(5))) if winner]
    assert len(winners) == 1
    rig.provisioner.release(rig.node, guests[winners[0]].tenancy)


# what never reaches a node


def test_hostile_names_and_keys_reach_no_node(rig: SshRig) -> None:
    """Whoever tries to put somebody on a node with one of these never gets as far as a connection."""
    ran = len(rig.at.ran())
    for name in NAMES:
        with pytest.raises(BadTenantName):
            rig.provisioner.provision(rig.node, Tenancy(allocation(), name, rig.guest().key.public))
    for text, _ in BAD.values():
        with pytest.raises(BadPublicKey):
            rig.provisioner.provision(rig.node, Tenancy(allocation(), "alice", parse_public_key(text)))
    for blob in (b"", b"\n; touch /tmp/x", b"$(id)"):
        with pytest.raises(BadPublicKey):
            Tenancy(allocation(), "alice", PublicKey(KeyKind.ED25519, blob))
    for id in ("alc_1; id", "", "alc_\n", "../../etc"):
        with pytest.raises(BadTenancy):
            Tenancy(id, "alice", rig.guest().key.public)
    assert len(rig.at.ran()) == ran


HOSTILE = ["$(touch {mine})", "`touch {mine}`", "x;touch {mine}", "x|touch {mine}", "-p\ttouch {mine}", "root", "x'$(touch {mine})'"]


def test_and_a_node_that_hears_of_one_refuses_it_too(rig: SshRig) -> None:
    """The script that is on the node's side looks again: nothing of this becomes a command, and what ran is what may run."""
    mine, provisioner, good = rig.at.folder / "mine", rig.provisioner, rig.guest()
    assert isinstance(provisioner, SshProvisioner)
    lines = [(good.tenancy.user, good.tenancy.allocation, good.key.public.line)]
    said = ["", "x\n", f"{good.tenancy.user}\n{good.tenancy.allocation}\n", "\n".join((*lines[0], "cut off"))]
    for bad in (word.format(mine=mine) for word in HOSTILE):
        for at in range(3):
            values = [bad if at == place else value for place, value in enumerate(lines[0])]
            said.append("\n".join((*values, ".", "")))
    before, tools = len(rig.at.ran()), len(rig.at.tools())
    with provisioner._line(rig.node) as line:
        for values_said in said:
            code = line.run(provisioner.commands.steps[Step.MARK], values_said).code
            assert code == 81 or (code == 83 and values_said.startswith("root\n")), values_said
    assert not mine.exists() and len(rig.at.tools()) == tools, "no tool was run"
    assert set(rig.at.ran()[before:]) <= allowed(rig)


def test_what_ran_on_all_nodes_is_what_may_run(rig: SshRig) -> None:
    """Names, keys and allocations are in no command line of root's: they came on standard input."""
    guest, before = rig.guest(), len(rig.at.ran())
    tenancy = replace(guest.tenancy, key=parse_public_key(GOOD["sk ed25519"]))
    rig.provisioner.provision(rig.node, tenancy)
    assert on(rig, guest).fits(tenancy)
    rig.provisioner.sample(rig.node)
    rig.provisioner.release(rig.node, tenancy)
    ran = rig.at.ran()[before:]
    assert len(ran) == 10 and set(ran) <= allowed(rig)
    for value in (tenancy.user, tenancy.allocation, tenancy.key.line):
        assert value in rig.at.said() and not any(value in command for command in ran)


def test_the_management_key_is_shown_by_nothing(rig: SshRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    private = rig.nodes.management.private
    provisioner = SshProvisioner(private)
    provisioner.inspect(rig.node)
    _, node = rig.on_the_way(Trouble.HOST_KEY)
    with pytest.raises(NodeTrouble), open_line(node, "root", provisioner._key, provisioner.patience):
        pass
    secret = private.splitlines()[2]
    assert secret not in repr(vars(provisioner)) and not [record for record in caplog.records if "paramiko" in record.name]
    for text in (private.replace(secret, secret[:-4] + "AAAA"), "", "hello", new_key_pair().public.line):
        with pytest.raises(ValueError, match="management key") as refusal:
            SshProvisioner(text)
        assert secret not in str(refusal.value)
