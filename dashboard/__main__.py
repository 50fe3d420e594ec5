"""`python -m dashboard [--host H] [--port P]`: serve the dashboard with uvicorn."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvicorn

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--trust-proxy", default=os.environ.get("COREHOURS_TRUST_PROXY", ""), metavar="ADDRESS",
                        help="address of a reverse proxy whose X-Forwarded-For and -Proto are believed")
    args = parser.parse_args()
    os.chdir(ROOT)                                  # Streamlit reads .streamlit/config.toml from here
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    os.environ |= {"STREAMLIT_SERVER_PORT": str(args.port), "STREAMLIT_SERVER_ADDRESS": args.host}
    from dashboard.asgi import app  # only now: it reads the configuration, and sets up Streamlit's own logging

    uvicorn.run(app, host=args.host, port=args.port, log_level="warning", access_log=False,
                proxy_headers=bool(args.trust_proxy), forwarded_allow_ips=args.trust_proxy or None, server_header=False,
                ws_ping_interval=20, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
