"""Wire models of the HTTP API."""
