"""How the subnets of a training step are drawn."""
