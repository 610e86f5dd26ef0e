"""A race of searchers: one budget, one set of evaluations, the losers stopped."""
