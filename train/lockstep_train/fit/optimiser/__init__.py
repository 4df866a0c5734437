"""What moves the weights: Adam by torch, and the same step at less cost."""
