"""Searchers on recorded tables."""
