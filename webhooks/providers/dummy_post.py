"""The dummy company's post: signs webhooks and sends them over HTTP until they are answered 200, a few times."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import requests

from webhooks.log import say
from webhooks.providers import signing

SIGNATURE_HEADER = "dummy-signature"
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)              # seconds before each delivery


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send: the body, whether it is signed rightly, and how long to hold it back."""

    body: bytes
    honest: bool = True
    after_seconds: float = 0.0


class DummyPost:
    """Sends to the sidecar at `url`, signing with the first of `secrets`."""

    def __init__(self, secrets: Sequence[str], url: str) -> None:
        self.secrets, self.url = secrets, url

    def send(self, body: bytes) -> None:
        """Deliver in the background."""
        self.start(Delivery(body))

    def start(self, delivery: Delivery) -> None:
        """The same for a delivery that something is wrong with."""
        threading.Thread(target=self.deliver, args=(delivery,), daemon=True, name="dummy delivery").start()

    def deliver(self, delivery: Delivery) -> bool:
        """Send until it is answered 200; True when it was."""
        time.sleep(delivery.after_seconds)
        for pause in PAUSES if delivery.honest else PAUSES[:2]:
            time.sleep(pause)
            try:
                answer = requests.post(f"{self.url}/webhooks/dummy", data=delivery.body, timeout=10, headers=self.headers(delivery),
                                       allow_redirects=False)
            except requests.RequestException as error:
                say("dummy.unreachable", error=type(error).__name__)
                continue
            if answer.status_code == 200:
                return True
        say("dummy.gave_up")
        return False

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """Its signature, or one that does not fit."""
        secret = self.secrets[0] if delivery.honest else "not the secret"
        at = int(datetime.now(UTC).timestamp())
        return {SIGNATURE_HEADER: signing.header(secret, at, delivery.body), "content-type": "application/json"}
