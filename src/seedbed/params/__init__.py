"""Parameters: params.yaml, checked against a schema, with overrides from the command line."""

from seedbed.params.load import own_name, read_params, resolve
from seedbed.params.merging import merge
from seedbed.params.preset import Preset

__all__ = ["Preset", "merge", "own_name", "read_params", "resolve"]
