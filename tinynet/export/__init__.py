"""A net in the formats of other programs: a graph for ONNX Runtime, plain arrays."""
