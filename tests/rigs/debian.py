"""What rigs need of Debian: packages that are installed where they are missing, without starting their daemons."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path


class NotHere(Exception):
    """This machine cannot run the rig; the text says why."""


def installed(packages: list[str]) -> bool:
    """Install; the packages' own start scripts are kept from starting daemons on their usual ports. One worker at a time."""
    with Path("/run/lock/corehours-test-packages").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            return _apt(packages)
        finally:
            if ours:
                policy.unlink()


def _apt(packages: list[str]) -> bool:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for words in (install, ["apt-get", "update"], install):
        done = subprocess.run(words, env=env, capture_output=True, timeout=600, check=False)
        if words is install and done.returncode == 0:
            return True
    return False
