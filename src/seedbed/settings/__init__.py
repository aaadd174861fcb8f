"""What functions are told, as dataclasses that the parameters are checked against: each defined once."""
