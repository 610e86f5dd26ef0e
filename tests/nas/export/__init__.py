"""Tests of standalone packages."""
