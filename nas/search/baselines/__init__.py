"""Searchers that guided is compared with: each simple, each strong somewhere."""
