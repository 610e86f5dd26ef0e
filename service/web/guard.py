"""Guard: what every request passes before any route sees it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.web.problems import problem_response

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
}


class Guard:
    """ASGI middleware: request id, Host allow-list, same-origin writes, body limit, security headers.

    The Host list stops DNS rebinding; the Origin check stops other sites' pages from acting on
    a loopback server through the user's browser.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], max_body_bytes: int) -> None:
        self.app = app
        self.hosts = hosts
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, detail = refusal
            response = problem_response(request_id, scope["path"], status, detail=detail)
            await response(scope, receive, send_with_headers)
            return
        await self.app(scope, self._limited(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if _host_name(headers.get("host", "")) not in self.hosts:
            return 400, "the Host header is not one of this server's names (see NAS_ALLOWED_HOSTS)"
        origin = headers.get("origin")
        if scope["method"] not in SAFE_METHODS and origin is not None and not self._same_site(origin):
            return 403, "requests from pages of other origins are refused"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self.max_body_bytes:
            return 413, f"a body may have at most {self.max_body_bytes} bytes"
        return None

    def _same_site(self, origin: str) -> bool:
        try:
            return urlsplit(origin).hostname in self.hosts
        except ValueError:
            return False

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body_bytes:
                raise HTTPException(413, f"a body may have at most {self.max_body_bytes} bytes")
            return message

        return limited


def _host_name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None if there is no sense in it."""
    if any(character in host for character in "/?#@\\ "):
        return None
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
