"""Write ONNX graphs of torch modules, join graphs, read the face detector."""
