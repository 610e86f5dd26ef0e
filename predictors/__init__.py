"""What it will cost: measure subnets on devices, then predict."""
