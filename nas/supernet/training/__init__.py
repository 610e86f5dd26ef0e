"""One training step and what it needs: samplers, modes, targets, optimiser state."""
