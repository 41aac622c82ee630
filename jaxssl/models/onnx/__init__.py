"""A traced JAX function as an ONNX model; wants the package `onnx`, and nothing else that JAX does not bring."""

from jaxssl.models.onnx.convert import to_onnx

__all__ = ["to_onnx"]
