"""streamlit-authenticator's account widgets with our own checks behind them.

Its forms are used; its credentials dictionary, failure counter, hints, cloud service and JavaScript cookie are not: they are
replaced by the two functions given here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlit_authenticator import Authenticate

SIGN_IN_FIELDS = {"Form name": "Sign in", "Username": "Username", "Password": "Password", "Login": "Sign in"}
PASSWORD_FIELDS = {"Form name": "Change password", "Current password": "Current password", "New password": "New password",
                   "Repeat password": "Repeat new password", "Reset": "Change password"}


class NoCookie:
    """Stands where the library keeps its cookie: the session cookie is the gate's."""

    def get_cookie(self) -> None:
        """There is none."""

    def set_cookie(self) -> None:
        """None is set."""


class Checks:
    """Stands where the library looks passwords up."""

    def __init__(self, sign_in: Callable[[str, str], None] | None, change: Callable[[str, str, str], None] | None) -> None:
        self._sign_in, self._change = sign_in, change

    def login(self, username: str | None = None, password: str | None = None, *_: Any, **__: Any) -> bool:
        """Called by the form when it is sent."""
        if self._sign_in:
            self._sign_in((username or "").strip(), password or "")
        return False

    def reset_password(self, username: str, password: str, new: str, repeat: str, callback: Any = None) -> bool:
        """Called by the form when it is sent."""
        if self._change:
            self._change(password, new, repeat)
        return True


class AccountWidgets(Authenticate):  # type: ignore[misc]
    """The library's forms. Its constructor is left out on purpose: it mounts the JavaScript cookie component."""

    def __init__(self, *, sign_in: Callable[[str, str], None] | None = None,
                 change: Callable[[str, str, str], None] | None = None) -> None:
        self.path = self.api_key = None
        self.secret_key = ""
        self.attrs = {"login_sleep_time": 0, "password_instructions": "At least 10 characters, and not your name."}
        self.cookie_controller = NoCookie()
        self.authentication_controller = Checks(sign_in, change)
