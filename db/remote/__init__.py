"""Device agents and the measurement tasks that they lease."""
