"""``nas-agent`` (in a full installation also ``nas agent``): this machine becomes a device of a server."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from predictors.agent.agent import Agent, Measure
from predictors.agent.credentials import Credentials, default_file, load, save
from predictors.agent.measure import describe, measure
from predictors.agent.server import Server
from predictors.agent.wire import Description, clock_json
from predictors.errors import AgentRefusedError, ServerUnreachableError
from searchspaces.errors import NasError

STOPPED, REFUSED, USAGE = 0, 1, 2  # exit codes
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None, measure: Measure = measure) -> int:
    """Enroll if there is a code, then work until SIGINT or SIGTERM; returns the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopping.append(received))
    try:
        description = describe(arguments.threads)
        if arguments.code is not None:
            enroll(arguments.server, arguments.code, description, arguments.state)
        found = load(arguments.state)
        if arguments.server is not None and arguments.server.rstrip("/") != found.server:
            _log.error("%s is for the server %s; enroll with --code", arguments.state, found.server)
            return USAGE
        _warn_if_open(found.server)
        _log.info("agent %s of %s", found.name, found.server)
        server = Server(found.server, found.token)
        Agent(server, description, measure, lambda: bool(stopping), poll_s=arguments.poll).run()
    except (AgentRefusedError, ServerUnreachableError) as error:
        _log.error("%s", error)
        return REFUSED
    except NasError as error:
        _log.error("%s", error)
        return USAGE
    return STOPPED


def enroll(url: str | None, code: str, description: Description, file: Path) -> Credentials:
    """Trade a one-time code for a token of this machine's own, which goes into ``file``."""
    body = {"device": asdict(description), "clock": clock_json()}
    server = Server(url or "", code)
    answer = server.post("/agent/enroll", body) or {}
    found = Credentials(server.url, str(answer.get("name")), str(answer.get("token")))
    save(file, found)
    return found


def _warn_if_open(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        _log.warning("the token travels unencrypted to %s; use https where others share the network", url)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nas-agent", description="Make this machine a device of a server.")
    parser.add_argument("--server", metavar="URL", help="the server; needed to enroll")
    parser.add_argument("--code", help="one-time code from `nas agents enroll NAME`")
    parser.add_argument(
        "--state",
        type=Path,
        default=default_file(),
        metavar="FILE",
        help="where the token is kept (%(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads per network (%(default)s)")
    parser.add_argument("--poll", type=float, default=2.0, metavar="S", help="seconds between questions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
