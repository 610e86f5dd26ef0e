"""The tables as typed rows, their translation to records, and the job state machine."""
