"""The server of the explorer: a port, a token, one page, until it is interrupted."""

import errno
import logging
import socket
import threading
from dataclasses import dataclass
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from mir21sim.errors import InputError
from mir21sim.web.app import make_app
from mir21sim.web.explorer import Explorer
from mir21sim.web.guard import COOKIE, EVERYWHERE, Door, guard, hosts_of, policy
from mir21sim.web.models import Models
from mir21sim.web.work import hear_warnings

PORT = 8021
MOST_TRIES = 20
"""Ports that are tried, one after the other, where none is asked for."""


@dataclass(eq=False)
class Running:
    """A server that listens.

    Attributes
    ----------
    address : with its token, to open in a browser
    note : a sentence about the port, "" where there is nothing to say
    """

    address: str
    note: str
    _server: BaseWSGIServer
    _models: Models

    def serve(self) -> None:
        """Answer requests until interrupted or closed."""
        try:
            self._server.serve_forever(poll_interval=0.25)
        finally:
            self._server.server_close()
            self._models.close()

    def start(self) -> threading.Thread:
        """Answer requests in a thread."""
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()


def listen(
    model: str, context: str = "", *, host: str = "127.0.0.1", port: int | None = None
) -> Running:
    """Return a server of the explorer that listens already.

    Parameters
    ----------
    model, context : what the page opens with
    host : where it listens; other computers reach it where this is not 127.0.0.1
    port : by default the first free one from ``PORT`` on

    Raises
    ------
    InputError
        For a port that is taken or not allowed, or a host that is not this computer.
    """
    models = Models(model, context)
    try:
        door_socket, note = _bound(host, port)
    except BaseException:
        models.close()
        raise
    bound = door_socket.getsockname()[1]
    door = Door(
        hosts_of(host, bound),
        cookie=f"{COOKIE}_{bound}",
        port=bound if host in EVERYWHERE else None,
    )
    app = make_app(Explorer(models))
    guard(app.server, door, policy(app.csp_hashes()))
    hear_warnings()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        host,
        bound,
        app.server,
        threaded=True,
        request_handler=_Handler,
        fd=door_socket.detach(),
    )
    server.daemon_threads = True
    shown = socket.gethostname() if host in EVERYWHERE else host
    name = f"[{shown}]" if ":" in shown else shown
    return Running(f"http://{name}:{bound}/?token={door.token}", note, server, models)


class _Handler(WSGIRequestHandler):  # type: ignore[misc]  # Werkzeug is untyped here
    """Answers without a line in the terminal, and does not wait for ever."""

    timeout = 60
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: addresses hold the token."""


def _bound(host: str, port: int | None) -> tuple[socket.socket, str]:
    """Return a listening socket, and a sentence where it is not the first port."""
    if port is not None and not 0 <= port <= 65535:
        raise InputError(f"--port must be 0 to 65535, got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = [port] if port is not None else list(range(PORT, PORT + MOST_TRIES))
    for number in tried:
        door = socket.socket(family, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, number))
            door.listen(64)
        except (OSError, OverflowError) as error:
            door.close()
            code = getattr(error, "errno", None)
            if code == errno.EADDRINUSE and number != tried[-1]:
                continue
            raise InputError(_why(host, number, error, port is None)) from error
        other = number != tried[0]
        return (
            door,
            f"Port {tried[0]} is in use; port {number} is taken." if other else "",
        )
    raise InputError("No port was tried.")


def _why(host: str, number: int, error: Exception, searched: bool) -> str:
    """Return the sentence about a port that cannot be had."""
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        if searched:
            return (
                f"The ports {PORT} to {number} are all in use: stop another explorer, "
                "or name a free one with --port."
            )
        return (
            f"Port {number} is in use: leave --port out, and the next free one is used."
        )
    reason = getattr(error, "strerror", None) or str(error)
    return f"The explorer cannot listen on {host}, port {number}: {reason}."
