"""The model folder: its contract, and crop → position map in ONNX Runtime."""
