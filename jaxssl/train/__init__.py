"""Training: mesh, state, step, loop and checkpoints; knows the contract of a method, and no method by name."""
