"""Elastic blocks of the supernet and the plain modules they extract to."""
