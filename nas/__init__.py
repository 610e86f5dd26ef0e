"""The search itself: supernet, evaluation, searchers, studies, export."""
