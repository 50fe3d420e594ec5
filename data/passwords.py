"""Password hashing: bcrypt by streamlit-authenticator's Hasher. Slow on purpose (about a quarter second): call it outside
of transactions and off any event loop.

The Hasher is loaded from its own file: the package around it would bring all of Streamlit into a command line.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.users import PASSWORD_BYTES


def hashed(password: str) -> str:
    """The bcrypt hash to keep; the caller has checked the password's rules."""
    return str(_hasher().hash(password))


def matches(password: str, password_hash: str | None) -> bool:
    """True when `password` made `password_hash`. Without a hash (nobody has that name) the same work is done in vain,
    so that the time taken tells nothing."""
    usable = len(password.encode()) <= PASSWORD_BYTES and "\0" not in password
    right = _hasher().check_pw(password if usable else "unusable", password_hash or _nobodys_hash())
    return bool(right) and usable and password_hash is not None


@lru_cache(maxsize=1)
def _hasher() -> Any:
    package = importlib.util.find_spec("streamlit_authenticator")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "utilities" / "hasher.py"
    spec = importlib.util.spec_from_file_location("streamlit_authenticator_hasher", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Hasher


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return hashed("nobody has this password")
