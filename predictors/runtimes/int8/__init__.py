"""INT8 devices: quantised once, run by ONNX Runtime or OpenVINO."""
