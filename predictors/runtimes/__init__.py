"""Runtimes that execute an extracted network, one file each."""
