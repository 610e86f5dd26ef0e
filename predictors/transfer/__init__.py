"""Few-shot prediction for a new device from devices that were measured before."""
