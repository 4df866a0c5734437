"""What happens to a row inside the graph, before the first block."""
