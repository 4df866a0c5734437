"""The traversal of an ONNX graph, which the readers of the audit and of both proofs share."""
