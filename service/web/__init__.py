"""HTTP plumbing: bodies, problem documents, limits, conditional answers, event streams."""
