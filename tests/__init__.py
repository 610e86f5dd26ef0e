"""Tests: contracts/ for the protocols, beside a mirror of the source."""
