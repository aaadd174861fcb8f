"""Artifacts on disk: written whole or not at all, each carrying the provenance that made it."""
