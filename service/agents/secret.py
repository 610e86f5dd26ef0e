"""Codes and tokens of agents: 256 random bits behind a prefix that scanners find; only hashes are stored."""

from __future__ import annotations

import hashlib
import secrets

CODE, TOKEN = "nas_code_", "nas_agent_"


def new_secret(prefix: str) -> str:
    """A new code or token; shown once and kept nowhere on the server."""
    return prefix + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """SHA-256 (64 hex digits): enough for a secret of 256 random bits, which nobody guesses."""
    return hashlib.sha256(secret.encode()).hexdigest()
