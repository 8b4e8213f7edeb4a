"""edgekit: make an exported ONNX model small and fast, and prove it on the device."""
