"""What differs between databases and how their failures read: SQLite, PostgreSQL, input checks."""
