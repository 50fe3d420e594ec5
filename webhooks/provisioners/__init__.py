"""What sets nodes up, by name. Adding one = one new file here, one line in the registry, its rig in tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.settings import Settings
from engine.ports import Provisioner
from webhooks.provisioners.dummy import DummyProvisioner
from webhooks.provisioners.ssh import SshProvisioner

OTHERS = 0o077                          # who has no business with the management key


def load_provisioner(settings: Settings) -> Provisioner | None:
    """The provisioner of this installation; None where no nodes are rented out. Raises ValueError in a sentence."""
    name = settings.node_provisioner
    return REGISTRY[name](settings) if name else None


def _ssh(settings: Settings) -> Provisioner:
    return SshProvisioner(_key_text(Path(settings.node_key_file)))


def _dummy(settings: Settings) -> Provisioner:
    """In a file, so that all processes of an installation see the same nodes."""
    return DummyProvisioner(Path(settings.home) / "dummy-nodes.json")


REGISTRY: dict[str, Callable[[Settings], Provisioner]] = {"ssh": _ssh, "dummy": _dummy}


def _key_text(file: Path) -> str:
    try:
        if file.stat().st_mode & OTHERS:
            raise ValueError(f"COREHOURS_NODE_KEY_FILE {file} can be read by others: chmod 600 it.")
        return file.read_text(encoding="ascii")
    except OSError as error:
        raise ValueError(f"COREHOURS_NODE_KEY_FILE {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"COREHOURS_NODE_KEY_FILE {file} is no key.") from None
