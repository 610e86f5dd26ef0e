"""The server as the agent sees it: outbound HTTP with the standard library, no redirects followed."""

from __future__ import annotations

import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from predictors.errors import AgentRefusedError, InvalidValueError, ServerUnreachableError

PREFIX = "/api/v1"
TIMEOUT_S = 30.0
CHUNK = 2**20  # bytes
MAX_ANSWER = 2**22  # bytes of a JSON answer
PASSING = (408, 425, 429)  # of the statuses below 500, those that pass by themselves


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: the token is for one server."""

    def redirect_request(self, *_: Any) -> None:
        """No request."""
        return


class Server:
    """One server. ServerUnreachableError means: try again; AgentRefusedError: it said no."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidValueError(f"server must be http://HOST or https://HOST; got {url!r}")
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a JSON body; None for an answer without content."""
        data = json.dumps(body, allow_nan=False).encode()
        with self._open("POST", path, data) as response:
            if response.status == 204:
                return None
            try:
                document: dict[str, Any] = json.loads(response.read(MAX_ANSWER))
            except (ValueError, OSError, http.client.HTTPException) as error:
                raise ServerUnreachableError(f"{self.url}: no sense in its answer ({error})") from None
        return document

    def download(self, digest: str, target: Path) -> None:
        """Fetch the file of this SHA-256; raises ServerUnreachableError unless its bytes have it."""
        sha = hashlib.sha256()
        with self._open("GET", f"/artifacts/{digest}", None) as response, target.open("wb") as out:
            try:
                while chunk := response.read(CHUNK):
                    sha.update(chunk)
                    out.write(chunk)
            except http.client.HTTPException as error:
                raise ServerUnreachableError(f"{self.url}: the download broke off ({error!r})") from None
        if sha.hexdigest() != digest:
            raise ServerUnreachableError(f"{self.url}: file {digest} came with digest {sha.hexdigest()}")

    def _open(self, method: str, path: str, data: bytes | None) -> Any:
        request = urllib.request.Request(self.url + PREFIX + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        if self._token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            return self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, self.url) from None
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            raise ServerUnreachableError(f"{self.url}: {error}") from None


def _refusal(error: urllib.error.HTTPError, url: str) -> AgentRefusedError | ServerUnreachableError:
    if error.code >= 500 or error.code in PASSING:
        return ServerUnreachableError(f"{url}: HTTP {error.code}")
    try:
        document = json.loads(error.read(MAX_ANSWER))
        slug, detail = str(document["type"]).rpartition(":")[2], str(document["detail"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        slug, detail = "", str(error.reason)
    return AgentRefusedError(error.code, slug, detail)
