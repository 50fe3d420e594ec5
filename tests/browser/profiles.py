"""Profiles of Chromium at the address where dashboards of tests stand: nobody has signed in and nothing is stored, but what was
fetched and compiled before is still there.

A profile that is new in every respect fetches and compiles all of Streamlit again, which takes longer than most tests do. So those
that a test leaves are emptied and lent to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

SIZE = ViewportSize(width=1440, height=900)
QUIET = "/healthz"                      # a page of the same address with nothing on it


class Profiles:
    """Those of one browser at one address."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        self.url = url
        self.free: list[BrowserContext] = []

    @contextmanager
    def lent(self) -> Iterator[Callable[..., Page]]:
        """Makes pages while the block runs, `make(scheme="dark")`: 1440 × 900, each of a profile of its own."""
        taken: list[BrowserContext] = []

        def make(scheme: str = "light", width: int = SIZE["width"], height: int = SIZE["height"]) -> Page:
            taken.append(self.free.pop() if self.free else self.new())
            page = taken[-1].pages[0]
            page.emulate_media(color_scheme=scheme)     # type: ignore[arg-type]
            page.set_viewport_size(ViewportSize(width=width, height=height))
            return page
        try:
            yield make
        finally:
            for context in taken:
                self.give_back(context)

    def new(self) -> BrowserContext:
        """A profile with a page."""
        context = self.browser.new_context(base_url=self.url, viewport=SIZE, reduced_motion="reduce", accept_downloads=True)
        context.set_default_timeout(30_000)
        context.new_page()
        return context

    def give_back(self, context: BrowserContext) -> None:
        """Forget who signed in, and all that its pages stored. The first of them stays, at rest: with it goes what was compiled."""
        for page in context.pages[1:]:
            page.close()
        page = context.pages[0]
        page.goto(QUIET)
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
        context.clear_cookies()
        self.free.append(context)
