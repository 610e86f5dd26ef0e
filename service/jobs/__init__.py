"""What each kind of job does; only runners import these modules."""
