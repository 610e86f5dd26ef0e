"""Searchers: ask and tell."""
