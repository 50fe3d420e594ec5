"""`python -m webhooks [--host H] [--port P]`: serve the sidecar with uvicorn until told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import NoReturn

import uvicorn
from pydantic import ValidationError

from data.postgres.server import running
from data.postgres.store import Store, connect
from data.settings import load
from webhooks.app import make_app
from webhooks.log import say
from webhooks.process import settle
from webhooks.providers import load_providers
from webhooks.provisioners import load_provisioner


def main() -> int:
    """Serve; SIGTERM lets running requests end, then the inbox's due events."""
    parser = argparse.ArgumentParser(prog="python -m webhooks", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8601)
    args = parser.parse_args()
    try:
        settings = load()
        load_providers(settings)                    # a wrong key or name is told before anything is opened
        load_provisioner(settings)
    except ValidationError as wrong:
        return _refused("; ".join(str(error["msg"]).removeprefix("Value error, ") for error in wrong.errors()))
    except ValueError as wrong:
        return _refused(str(wrong))
    signal.signal(signal.SIGTERM, _stopped)         # uvicorn passes the signal on to us once it has ended its work
    with running(settings) as url:
        engine = connect(url)
        try:
            say("sidecar.starts", host=args.host, port=args.port, env=settings.env, providers=settings.payment_providers)
            app = make_app(settings, Store(engine, settings), _own_url(args.host, args.port))
            settle()
            uvicorn.run(app, host=args.host, port=args.port, log_level="warning", access_log=False, server_header=False,
                        timeout_graceful_shutdown=5, timeout_keep_alive=15)
        finally:
            engine.dispose()
    return 0


def _own_url(host: str, port: int) -> str:
    """Where this process reaches itself."""
    name = "127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host  # noqa: S104
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def _stopped(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
