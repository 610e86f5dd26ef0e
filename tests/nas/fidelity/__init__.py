"""Tests of ranking fidelity."""
