"""Parts of benchmarks.scale_model."""
