"""The demo centre: an invented year of an invented computing centre, for looking around and for tests."""

from data.demo.centre import load
from data.demo.people import DEMO_USERS, DemoUser, DemoUsers

__all__ = ["DEMO_USERS", "DemoUser", "DemoUsers", "load"]
