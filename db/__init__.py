"""What happened: rows, sessions, migrations, stores, the job queue."""
