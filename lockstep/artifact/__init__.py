"""What is on disk: columns, manifest, golden rows, and the folder that holds them."""
