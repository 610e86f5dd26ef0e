"""The device agent: enrolls at a server, measures what it is asked to, posts raw times. Without torch."""
