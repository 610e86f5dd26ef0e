"""Property tests try the same examples everywhere and have no deadline: shared machines stall."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
