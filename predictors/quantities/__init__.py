"""What is measured of a network besides its latency: file size, peak memory of the run, energy. No torch."""
