"""Tests of measuring and predicting."""
