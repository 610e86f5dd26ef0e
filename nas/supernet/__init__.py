"""The weight-sharing supernet: forward, training, checkpoint, extraction."""
