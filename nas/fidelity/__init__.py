"""Ranking fidelity: how well a supernet orders its subnets, against truth by training alone."""
