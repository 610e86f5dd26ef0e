"""Answers about a study, from its evaluations alone: plain functions, nothing is read or written."""
