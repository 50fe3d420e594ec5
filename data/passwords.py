"""Password hashing: bcrypt by streamlit-authenticator's Hasher. Slow on purpose (about a quarter second): call it outside
of transactions and off any event loop.
"""

from __future__ import annotations

from functools import lru_cache

from engine.users import PASSWORD_BYTES


def hashed(password: str) -> str:
    """The bcrypt hash to keep; the caller has checked the password's rules."""
    from streamlit_authenticator.utilities.hasher import Hasher  # late: it brings Streamlit along

    return str(Hasher.hash(password))


def matches(password: str, password_hash: str | None) -> bool:
    """True when `password` made `password_hash`. Without a hash (nobody has that name) the same work is done in vain,
    so that the time taken tells nothing."""
    from streamlit_authenticator.utilities.hasher import Hasher

    usable = len(password.encode()) <= PASSWORD_BYTES and "\0" not in password
    right = Hasher.check_pw(password if usable else "unusable", password_hash or _nobodys_hash())
    return bool(right) and usable and password_hash is not None


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return hashed("nobody has this password")
