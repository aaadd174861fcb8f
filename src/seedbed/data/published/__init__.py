"""The published data sets: each module turns raw files below ``raw/`` into masks and one index of the usual form."""
