"""Runtimes that compile a network before it is measured, which takes much longer than exporting it."""
