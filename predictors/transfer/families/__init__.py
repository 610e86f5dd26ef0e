"""Features of the kinds of genome that are recognised, and of any other."""
