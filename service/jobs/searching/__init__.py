"""The parts of a search job."""
