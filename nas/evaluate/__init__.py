"""Evaluators and the pools that run them."""
