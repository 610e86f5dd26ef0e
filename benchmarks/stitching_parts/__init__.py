"""The two parts of the stitching benchmark."""
