"""A subnet as files that stand alone."""
