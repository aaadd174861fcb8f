"""Parameters: params.yaml, checked against a schema, with overrides from the command line."""

from seedbed.params.load import merge, own_name, read_params, resolve
from seedbed.params.preset import Preset

__all__ = ["Preset", "merge", "own_name", "read_params", "resolve"]
