"""The server's side of device agents: tokens, who may do what, and whether a result can be true."""
