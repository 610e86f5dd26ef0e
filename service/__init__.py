"""How it is reached: API, worker, runner, client, command line."""
