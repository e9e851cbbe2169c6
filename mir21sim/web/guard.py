"""Who may ask: a token in the address, a known host, no other page, no other source.

The page listens on this computer, where other programs and any web page in a browser
could reach it too. The token keeps programs out, the cookie is for this address alone,
and the checks of host and origin keep out pages of other sites, also those whose name
was turned to 127.0.0.1 (DNS rebinding).
"""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, redirect, request

COOKIE = "mir21sim_explore"
MOST_REQUEST = 2_000_000
"""Bytes of a request of the page, uploads apart."""

ASK_AGAIN = (
    "Open the whole address that `mir21sim explore` printed, with its token; the "
    "page of a server that has ended needs the address of the new one."
)


@dataclass(frozen=True, slots=True)
class Door:
    """The requests that are allowed.

    Attributes
    ----------
    token : of this server, in the address that is printed
    hosts : values of the header Host that are accepted
    port : where the server listens on all addresses, its port; then any address in
        numbers is accepted as host: no name of another site can be turned to one
    cookie : name of the cookie, one for each port: cookies do not tell ports apart
    """

    hosts: tuple[str, ...]
    cookie: str = COOKIE
    port: int | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def lets(self, host: str) -> bool:
        """Say whether a server is asked under a name that is its own."""
        if host in self.hosts or self.port is None:
            return host in self.hosts
        name, _, port = host.rpartition(":")
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return port == str(self.port)

    def knows(self, given: str | None) -> bool:
        """Say whether a token is the one of this server."""
        return hmac.compare_digest((given or "").encode(), self.token.encode())


def hosts_of(host: str, port: int) -> tuple[str, ...]:
    """Return the values of the header Host under which a server is asked."""
    own = f"[{host}]" if ":" in host else host
    names = {own}
    if host in (*EVERYWHERE, "127.0.0.1", "localhost", "::1"):
        names |= {"127.0.0.1", "localhost", "[::1]"}
    if host in EVERYWHERE:
        names.add(socket.gethostname())
    return tuple(f"{name}:{port}" for name in sorted(names))


EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of this computer."""


def policy(hashes: Iterable[str]) -> str:
    """Return the content security policy: everything from here, nothing evaluated.

    Plotly and the components set styles of their own; pictures are data.
    """
    scripts = " ".join(["'self'", *hashes])
    rules = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "object-src": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def guard(server: Flask, door: Door, rules: str) -> None:
    """Put the checks before every request, and the headers on every answer."""

    def check() -> Any:
        if not door.lets(request.host):
            return _refused(f"The host `{request.host[:80]}` is not this explorer.")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return _refused("Another site may not ask this explorer.")
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and (
            request.method != "GET" or request.path != "/"
        ):
            return _refused("Another site may not ask this explorer.")
        if "token" in request.args and request.path == "/":
            return _enter(door, request.args.get("token"))
        if not door.knows(request.cookies.get(door.cookie)):
            return _refused(f"The token is missing or wrong. {ASK_AGAIN}")
        limit = None if request.path == "/upload" else MOST_REQUEST
        if limit is not None and (request.content_length or 0) > limit:
            return Response("The request is too large.", 413, mimetype="text/plain")
        return None

    def seal(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = rules
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    # The first of all functions before a request, also before those of Dash.
    server.before_request_funcs.setdefault(None, []).insert(0, check)
    server.after_request(seal)


def _enter(door: Door, token: str | None) -> Response:
    """Give the cookie for a right token, and take the token out of the address."""
    if not door.knows(token):
        return _refused(f"The token is wrong. {ASK_AGAIN}")
    answer = redirect("/", 303)
    answer.set_cookie(door.cookie, door.token, httponly=True, samesite="Strict")
    made: Response = answer
    return made


def _refused(sentence: str) -> Response:
    return Response(sentence + "\n", 403, mimetype="text/plain")
