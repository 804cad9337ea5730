"""Graphs: torch modules to ONNX files, fused graphs, the detector."""
