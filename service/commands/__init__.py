"""Commands of ``nas``, each a thin client of the HTTP API."""
