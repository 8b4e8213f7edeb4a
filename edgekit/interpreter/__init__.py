"""ONNX operators on torch, differentiable: what training and gradients run a graph with.

Only `edgekit.interpreter.extra` and `edgekit.interpreter.weights` can be imported without torch.
All else is imported inside functions that run behind the native door, never by the host.
"""
