"""A real Slurm on loopback for one test: munge, MariaDB, slurmdbd, slurmctld, two nodes, slurmrestd with JWT.

Needs root (jobs run as several people) and Debian's packages, which it installs where they are missing. All it writes
lies in one folder; every process is ended by its pid and every person it added is removed.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs.debian import NotHere, installed

PACKAGES = {"munged": "munge", "mariadbd": "mariadb-server", "slurmdbd": "slurmdbd", "slurmctld": "slurmctld",
            "slurmd": "slurmd", "slurmrestd": "slurmrestd", "sbatch": "slurm-client"}
PLUGINS = {"accounting_storage_mysql.so": "slurm-wlm-mysql-plugin", "auth_jwt.so": "slurm-wlm-jwt-plugin"}
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PEOPLE = {"ch-alice": "physics", "ch-bob": "physics", "ch-carol": "acme"}
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@dataclass
class Cluster:
    """A running cluster: its folder, the environment its commands need, the address and token of its slurmrestd."""

    folder: Path
    ports: tuple[int, ...]
    token: str = ""
    password: str = field(default_factory=lambda: secrets.token_hex(12))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """For sacct, sbatch and the daemons."""
        return {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.folder / "etc/slurm.conf"), "TZ": "UTC"}

    @property
    def url(self) -> str:
        """Where slurmrestd answers."""
        return f"http://127.0.0.1:{self.ports[3]}"

    def run(self, *words: str, user: str = "", script: str = "") -> str:
        """Run a command of Slurm, as `user`; its output."""
        as_user = ["runuser", "-u", user, "--"] if user else []
        done = subprocess.run([*as_user, *words], env=self.env, cwd=self.folder / "jobs", input=script.encode() or None,
                              capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode('utf-8', 'replace')}")
        return done.stdout.decode("utf-8", "replace").strip()

    def submit(self, script: str, *options: str, user: str = "ch-alice") -> str:
        """Queue a shell script; the job's id."""
        return self.run("sbatch", "--parsable", "-o", "/dev/null", *options, user=user, script=f"#!/bin/sh\n{script}\n")

    def spawn(self, *words: str) -> None:
        """Start a daemon in the foreground of its own session."""
        with (self.folder / "log" / f"{len(self.processes)}-{Path(words[0]).name}.out").open("wb") as log:
            self.processes.append(subprocess.Popen(words, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                   start_new_session=True))

    def wait(self, what: str, ready: Callable[[], object], seconds: float = 40) -> None:
        """Until `ready` is true and raises nothing."""
        until = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
            except (RuntimeError, OSError):
                pass
            if time.monotonic() > until:
                raise RuntimeError(f"{what} did not come up; see {self.folder}/log")
            time.sleep(0.1)

    def state(self, job: str) -> str:
        """The job's state while it is in the queue."""
        return (self.run("squeue", "-h", "-j", job, "-o", "%T").splitlines() or [""])[0]

    def stop(self) -> None:
        """Cancel what runs, then end every process, the last started first, and what a job may have left."""
        try:
            for name in PEOPLE:
                self.run("scancel", f"--user={name}")
            self.wait("the end of the jobs", lambda: not self.run("squeue", "-h"), 8)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            pass                                    # it never came up, or hangs: the processes are ended all the same
        for process in reversed(self.processes):
            for how, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
                if process.poll() is None:
                    process.send_signal(how)
                    try:
                        process.wait(seconds)
                    except subprocess.TimeoutExpired:
                        continue
        for pid in self._left():
            os.kill(pid, signal.SIGKILL)

    def _left(self) -> list[int]:
        """Processes whose environment names this cluster's configuration: job steps that outlived their daemons."""
        ours = f"SLURM_CONF={self.folder}/".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if ours in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster in `folder`, which user nobody must be able to reach, for as long as the block runs."""
    _prepare_machine()
    cluster = Cluster(folder, _free_ports(6))
    added = _add_people()
    try:
        _write(cluster)
        _start(cluster)
        yield cluster
    finally:
        cluster.stop()
        for name in added:
            subprocess.run(["userdel", name], capture_output=True, check=False)


def _prepare_machine() -> None:
    if os.geteuid() != 0:
        raise NotHere("a real Slurm needs root: its jobs run as several people")
    if shutil.which("apt-get") is None:
        raise NotHere("the packages of a real Slurm are known for Debian only")
    plugins = {path.name for path in Path("/usr/lib").glob("*/slurm-wlm/*.so")}
    missing = [package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None]
    missing += [package for plugin, package in PLUGINS.items() if plugin not in plugins]
    if missing and not installed(missing):
        raise NotHere(f"cannot install {', '.join(missing)}")


def _free_ports(count: int) -> tuple[int, ...]:
    with_sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(one.getsockname()[1] for one in with_sockets)
    for one in with_sockets:
        one.close()
    return ports


def _add_people() -> list[str]:
    known = {entry.pw_name for entry in pwd.getpwall()}
    new = [name for name in PEOPLE if name not in known]
    for name in new:
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", name], check=True, capture_output=True)
    return new


COMMON = """AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/etc/jwt.key
SlurmUser=root
"""
SLURMDBD = COMMON + """DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[1]}
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[0]}
StorageUser=slurm
StoragePass={password}
"""
SLURM = COMMON + """ClusterName=live
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[2]}
SlurmdUser=root
CredType=cred/munge
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=bf_interval=2,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[1]}
AccountingStoragePass={folder}/munge/sock
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu,gres/gpu:a100
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
DefMemPerCPU=1024
NodeName=n1 NodeAddr=127.0.0.1 Port={ports[4]} CPUs=16 RealMemory=64000
NodeName=n2 NodeAddr=127.0.0.1 Port={ports[5]} CPUs=32 RealMemory=256000 Gres=gpu:a100:4
PartitionName=cpu Nodes=n1 Default=YES MaxTime=UNLIMITED DefaultTime=01:00:00
PartitionName=gpu Nodes=n2 MaxTime=UNLIMITED DefaultTime=01:00:00
PartitionName=all Nodes=ALL MaxTime=UNLIMITED DefaultTime=01:00:00
"""


def _write(cluster: Cluster) -> None:
    """Folders, keys, files that only look like GPUs, the configuration. Ports: database, accounting, control, REST, nodes."""
    folder = cluster.folder
    for name in ("etc", "run", "log", "munge", "mysql", "ctld", "spool/n1", "spool/n2", "jobs", "dev"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "jobs").chmod(0o1777)
    for name, size in (("munge/key", 1024), ("etc/jwt.key", 32)):
        (folder / name).touch(0o600)
        (folder / name).write_bytes(secrets.token_bytes(size))
    for n in range(4):
        subprocess.run(["mknod", str(folder / f"dev/gpu{n}"), "c", "1", "3"], check=True)
    known = {"folder": folder, "ports": cluster.ports, "password": cluster.password}
    (folder / "etc/slurmdbd.conf").touch(0o600)
    (folder / "etc/slurmdbd.conf").write_text(SLURMDBD.format(**known))
    (folder / "etc/slurm.conf").write_text(SLURM.format(**known))
    (folder / "etc/gres.conf").write_text(f"NodeName=n2 Name=gpu Type=a100 File={folder}/dev/gpu[0-3]\n")
    (folder / "etc/cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")


def _make_database(cluster: Cluster, tries: int = 3) -> None:
    """MariaDB's own set-up, which fails now and then on a loaded machine; what it said is shown when it does not end well."""
    data = cluster.folder / "mysql"
    for _ in range(tries):
        made = subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root",
                               "--auth-root-authentication-method=normal", "--skip-test-db"],
                              env=cluster.env, check=False, capture_output=True, text=True)
        if made.returncode == 0:
            return
        shutil.rmtree(data)
        data.mkdir()
        time.sleep(1)
    raise RuntimeError(f"mariadb-install-db failed {tries} times: {(made.stdout + made.stderr)[-2000:]}")


def _start(cluster: Cluster) -> None:
    """Each daemon as soon as the one it needs answers."""
    folder, ports = cluster.folder, cluster.ports
    cluster.spawn("munged", "--foreground", "--force", f"--key-file={folder}/munge/key", f"--socket={folder}/munge/sock",
                  f"--pid-file={folder}/run/munged.pid", f"--log-file={folder}/log/munged.log",
                  f"--seed-file={folder}/munge/seed")
    _make_database(cluster)
    cluster.spawn("mariadbd", "--no-defaults", "--user=root", f"--datadir={folder}/mysql", f"--socket={folder}/run/mysql.sock",
                  "--bind-address=127.0.0.1", f"--port={ports[0]}", f"--pid-file={folder}/run/mariadbd.pid",
                  "--skip-name-resolve", "--innodb-buffer-pool-size=64M",
                  "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900")
    sql = ("mariadb", "--no-defaults", "-S", f"{folder}/run/mysql.sock", "-u", "root", "-e")
    cluster.wait("MariaDB", lambda: cluster.run(*sql, "select 1"))
    cluster.run(*sql, f"create database slurm_acct_db character set utf8mb4; create user 'slurm'@'127.0.0.1' identified by "
                      f"'{cluster.password}'; grant all on slurm_acct_db.* to 'slurm'@'127.0.0.1'")
    cluster.spawn("slurmdbd", "-D")
    cluster.wait("slurmdbd", lambda: [cluster.run("sacctmgr", "-n", "-i", "list", "cluster")])
    _add_accounts(cluster)
    cluster.spawn("slurmctld", "-D")
    for node in ("n1", "n2"):
        cluster.spawn("slurmd", "-D", "-N", node)
    cluster.wait("the two nodes", lambda: len(cluster.run("sinfo", "-hN", "-p", "all", "-t", "idle", "-o", "%N").split()) == 2)
    cluster.spawn(*NOBODY, "env", "SLURM_JWT=daemon", "slurmrestd", "-a", "rest_auth/jwt", f"127.0.0.1:{ports[3]}")
    cluster.token = cluster.run("scontrol", "token", "lifespan=3600", "username=root").partition("=")[2]
    cluster.wait("slurmrestd", lambda: socket.create_connection(("127.0.0.1", ports[3]), 1).close() is None)


def _add_accounts(cluster: Cluster) -> None:
    if not re.search(r"\blive\b", cluster.run("sacctmgr", "-n", "list", "cluster", "format=cluster%40")):
        cluster.run("sacctmgr", "-i", "-Q", "add", "cluster", "live")
    for account in sorted(set(PEOPLE.values())):
        cluster.run("sacctmgr", "-i", "-Q", "add", "account", account, "Organization=x", "Description=x")
    for name, account in PEOPLE.items():
        cluster.run("sacctmgr", "-i", "-Q", "add", "user", name, f"account={account}", f"DefaultAccount={account}")
