"""What a subnet's accuracy will be, from those of some that were evaluated."""
