"""Labelled images by name of their source, with deterministic train, validation and test splits."""
