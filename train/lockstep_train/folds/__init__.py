"""Cross-validation, and the ensemble of its folds."""
