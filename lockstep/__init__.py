"""The core that training and serving stand on: artifact, engine, proof."""
