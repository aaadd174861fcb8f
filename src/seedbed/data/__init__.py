"""Data sets: every one ends as an ``index.csv`` beside its images."""

from seedbed.data.index import Box, DataIndex, Record, read_index, shard, write_index

__all__ = ["Box", "DataIndex", "Record", "read_index", "shard", "write_index"]
