"""GPUs of one machine: who holds which, processes that share a training, and batches that do not fit."""
