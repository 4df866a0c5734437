"""The fit: a step, an epoch, a training, and what it is kept in."""
