"""Evaluation of many subnets at once, with what they have in common computed once."""
