"""Training: one loop, objectives for each method, resumable at any moment."""
