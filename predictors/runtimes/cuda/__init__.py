"""PyTorch on an NVIDIA GPU: eager, and captured as one CUDA graph."""
