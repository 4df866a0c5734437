"""Training: data, network, fit, evaluate, report, export."""
