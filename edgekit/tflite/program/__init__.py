"""Turns a TFLite file of float kernels between Quantize and Dequantize into one of int8 kernels.

A converter leaves what an ONNX graph says with QuantizeLinear and DequantizeLinear as it stands:
float kernels whose operands are rounded, with weights in float. Here a kernel whose operands come
from the grid and whose result goes onto it becomes the int8 kernel that computes just that:

    Dequantize(a) -> Conv -> Quantize(b)     =  int8 Conv from a to b, bias in int32
    Dequantize(a) -> Transpose               =  Transpose(a) -> Dequantize
    Transpose -> Quantize(b)                 =  Quantize(b) -> Transpose
    x -> Quantize -> Dequantize -> float     =  x -> float

A matrix product with int8 weights whose result stays float becomes a FullyConnected that reads
floats and int8 weights. Weights that lie on no int8 grid are those of operators that the placement
left float: they stay.

It stands apart from the rest of edgekit: copied beside the model and run by the converter's own
Python, with numpy, flatbuffers and ai_edge_litert.
"""
