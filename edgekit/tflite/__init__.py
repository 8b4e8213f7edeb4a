"""The TFLite form of an ONNX model, made by onnx2tf in an environment that the user names."""

from edgekit.tflite.converting import (
    ENVIRONMENT,
    RECIPE,
    Conversion,
    convert,
    converter,
    converter_version,
)

__all__ = ["ENVIRONMENT", "RECIPE", "Conversion", "convert", "converter", "converter_version"]
