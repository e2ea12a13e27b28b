"""Export of models, to run without PyTorch: their steps as ONNX or PyTorch programs, and a card."""
