"""Reference networks: always the same, measured in every campaign of a device, in ONNX and in torch."""
