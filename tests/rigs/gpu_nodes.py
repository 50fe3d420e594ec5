"""Real sshd nodes on loopback: each with a host key, a port, a folder for our marks, and a stand-in for nvidia-smi.

Needs root and Debian's openssh-server, which it installs where it is missing. A node writes down every command that root runs
on it and what was said to it, and goes wrong where a test asks for it. All nodes share this machine's users: one test, one name.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from data.ssh_keys import KeyPair, new_key_pair
from engine.nodes import NodeAddress
from tests.rigs.debian import NotHere, installed

SSHD = "/usr/sbin/sshd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("useradd", "usermod", "setpriv", "pkill", "mv")
GPU = {"name": "NVIDIA A100-SXM4-80GB", "memory.total": 81920, "memory.used": 4, "utilization.gpu": 0, "temperature.gpu": 31}

# SHLVL keeps bash from reading this machine's own ~/.bashrc, which it does for whoever comes by ssh.
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM {pam}
PrintMotd no
PrintLastLog no
StrictModes yes
LoginGraceTime 20
MaxStartups 200:30:400
UseDNS no
SetEnv PATH={folder}/bin:{path} COREHOURS_STATE={folder}/state SHLVL=1
AuthorizedKeysFile .ssh/authorized_keys
Match User root
  AuthorizedKeysFile {folder}/authorized_keys
  ForceCommand {folder}/recorded
"""

# What sshd runs for each command of root. A fault is `STEP before`, `STEP after`, `STEP half TOOL`, `STEP full TOOL`, `STEP hang TOOL`.
RECORDED = """#!/bin/sh
export GPUNODE_STEP="${{SSH_ORIGINAL_COMMAND##* }}"
printf '%s\\0' "$SSH_ORIGINAL_COMMAND" >>{folder}/ran
read -r fault <{folder}/fault
[ "$fault" = "$GPUNODE_STEP before" ] && {folder}/cut $$
tee -a {folder}/said | sh -c "$SSH_ORIGINAL_COMMAND"
code=$?
[ "$fault" = "$GPUNODE_STEP after" ] && {folder}/cut $$
exit $code
"""

# Ends a process, everything above it up to the sshd of its connection, and that.
CUT = """#!/bin/sh
pid=$1 all=
while [ "$pid" -gt 1 ]; do
  read -r name </proc/$pid/comm; all="$all $pid"
  case $name in sshd*) break ;; esac
  pid=$(sed -n 's/^PPid:\\t//p' /proc/$pid/status)
done
for pid in $all; do last=$pid; done
kill -KILL $last $all
"""

SHIM = """#!/bin/sh
{{ printf '%s' {tool}; printf '\\037%s' "$@"; printf '\\0'; }} >>{folder}/tools
read -r fault <{folder}/fault
case "$fault" in
  "$GPUNODE_STEP half {tool}") {real} "$@"; {folder}/cut $PPID ;;
  "$GPUNODE_STEP full {tool}") echo '{tool}: No space left on device' >&2; exit 1 ;;
  "$GPUNODE_STEP hang {tool}") exec sleep 60 ;;
esac
exec {real} "$@"
"""

SMI = """#!/usr/bin/python3
import json, pathlib, sys, time
gpus = json.loads(pathlib.Path("{folder}/gpus.json").read_text())
if gpus == "hang":
    time.sleep(60)
if gpus == "broken":
    print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    sys.exit(9)
asked = dict(word.partition("=")[::2] for word in sys.argv[1:])
if asked.get("--format") != "csv,noheader,nounits":
    print("this stand-in knows one format")
    sys.exit(2)
for index, gpu in enumerate(gpus):
    print(", ".join(str(({{"index": index}} | gpu)[field]) for field in asked["--query-gpu"].split(",")))
"""


@dataclass
class GpuNode:
    """One node: how it is reached, and what it wrote down."""

    address: NodeAddress
    folder: Path
    pam: bool
    host_key: KeyPair
    process: subprocess.Popen[bytes]

    @property
    def state(self) -> Path:
        """Where our marks are."""
        return self.folder / "state"

    def ran(self) -> list[str]:
        """Every command line that root ran, in order."""
        return _parts(self.folder / "ran")

    def tools(self) -> list[list[str]]:
        """Every run of one of TOOLS, word by word."""
        return [words.split("\x1f") for words in _parts(self.folder / "tools")]

    def said(self) -> str:
        """All that was said to them on standard input."""
        return (self.folder / "said").read_text() if (self.folder / "said").exists() else ""

    def log(self) -> str:
        """What sshd itself wrote down."""
        return (self.folder / "log").read_text()

    def fault(self, words: str) -> None:
        """Go wrong from now on, as RECORDED says; empty: do not."""
        (self.folder / "fault").write_text(words + "\n")

    def gpus(self, gpus: Sequence[dict[str, object]] | str) -> None:
        """What nvidia-smi finds; `hang` and `broken` are words of its stand-in."""
        (self.folder / "gpus.json").write_text(json.dumps(gpus))

    def load(self, percent: int) -> None:
        """What its GPUs do from now on."""
        self.gpus([GPU | {"utilization.gpu": percent}] * 4)

    def forget(self) -> None:
        """Take its marks away, whoever is on it."""
        for mark in (self.state / "marks").glob("*"):
            mark.unlink()

    def another_host_key(self, key: KeyPair) -> None:
        """From now on: the daemon starts anew at its place."""
        _write_key(self.folder / "host_key", key)
        self.stop()
        self.process = _sshd(self.folder)
        _wait_for(self)

    def stop(self) -> None:
        """End the daemon; who is logged in stays so."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@dataclass
class GpuNodes:
    """The nodes of a run, the key that root is let in with, one that is not, and places where nothing is as it should be."""

    folder: Path
    management: KeyPair = field(default_factory=new_key_pair)
    stranger: KeyPair = field(default_factory=new_key_pair)
    nodes: list[GpuNode] = field(default_factory=list)
    users: int = 0

    def new_user(self) -> str:
        """A name that nobody has on this machine; removed in the end."""
        self.users += 1
        return f"ch-{self.folder.name[-6:]}-{self.users}"

    def add_user(self, name: str) -> None:
        """A user of the machine's own, under a name of `new_user`."""
        subprocess.run(["useradd", "--no-create-home", name], check=True, capture_output=True, env={"PATH": PATH})

    def log_in(self, node: GpuNode, user: str, key: KeyPair, command: str = "id -un") -> subprocess.CompletedProcess[str]:
        """What OpenSSH's own client gets when `user` logs in with `key` to run `command`."""
        with tempfile.TemporaryDirectory() as folder:
            _write_key(Path(folder) / "key", key)
            known = Path(folder) / "known_hosts"
            known.write_text(f"[127.0.0.1]:{node.address.port} {node.address.host_key.line}\n")
            options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes",
                       "KexAlgorithms=curve25519-sha256"]                # the default one takes ten times the CPU
            words = ["ssh", "-F", "/dev/null", "-i", f"{folder}/key", *[word for option in options for word in ("-o", option)],
                     "-p", str(node.address.port), f"{user}@127.0.0.1", command]
            return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


@contextmanager
def gpu_nodes(count: int) -> Iterator[GpuNodes]:
    """So many nodes, every other one with PAM, for as long as the block runs."""
    _prepare_machine()
    folder = Path(tempfile.mkdtemp(prefix="corehours-nodes-", dir="/var/lib"))      # sshd wants all folders above to be root's
    folder.chmod(0o755)
    rig = GpuNodes(folder=folder.rename(folder.with_name("corehours-nodes-" + secrets.token_hex(3))))
    try:
        for number in range(count):
            rig.nodes.append(_start(rig, f"gpu{number + 1}", pam=number % 2 == 1))
        yield rig
    finally:
        for node in rig.nodes:
            node.stop()
        _remove_users(rig)
        shutil.rmtree(rig.folder, ignore_errors=True)


@contextmanager
def silent_place() -> Iterator[int]:
    """A port on loopback that takes calls and says nothing."""
    held: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        def take() -> None:
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:
                return
        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        for one in held:
            one.close()
        server.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _prepare_machine() -> None:
    if os.geteuid() != 0:
        raise NotHere("sshd nodes need root: they switch to whoever logs in")
    if not Path(SSHD).exists() and (shutil.which("apt-get") is None or not installed(["openssh-server"])):
        raise NotHere("openssh-server is missing and cannot be installed")
    Path("/run/sshd").mkdir(exist_ok=True)          # sshd's own; its name is compiled in


def _start(rig: GpuNodes, name: str, pam: bool) -> GpuNode:
    folder, port, key = rig.folder / name, free_port(), new_key_pair()
    (folder / "bin").mkdir(parents=True)
    _write_key(folder / "host_key", key)
    (folder / "authorized_keys").write_text(rig.management.public.line + "\n")
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder, pam="yes" if pam else "no", path=PATH))
    for place, text in (("recorded", RECORDED), ("cut", CUT), ("bin/nvidia-smi", SMI)):
        _program(folder / place, text.format(folder=folder) if place != "cut" else text)
    for tool in TOOLS:
        _program(folder / "bin" / tool, SHIM.format(tool=tool, folder=folder, real=shutil.which(tool, path=PATH)))
    node = GpuNode(NodeAddress(name, "127.0.0.1", port, key.public), folder, pam, key, _sshd(folder))
    node.gpus([GPU] * 4)
    node.fault("")
    _wait_for(node)
    return node


def _sshd(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", SSHD, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _wait_for(node: GpuNode, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((node.address.host, node.address.port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise RuntimeError(f"{node.address.name} did not come up: {(node.folder / 'log').read_text()[-500:]}") from None
            time.sleep(0.02)


def _program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _write_key(file: Path, key: KeyPair) -> None:
    file.touch(0o600)
    file.write_text(key.private)


def _parts(file: Path) -> list[str]:
    return file.read_text().split("\0")[:-1] if file.exists() else []


def _remove_users(rig: GpuNodes) -> None:
    """Whoever was made under one of our names, and what they run."""
    ours = [entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith(f"ch-{rig.folder.name[-6:]}-")]
    if ours:
        subprocess.run(["pkill", "-KILL", "-u", ",".join(ours)], capture_output=True, check=False)
    for name in ours:
        subprocess.run(["userdel", "-rf", name], capture_output=True, check=False)
