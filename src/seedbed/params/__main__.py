"""`python -m seedbed.params schema`: write the JSON schema of params.yaml anew, into schemas/."""

import sys

from seedbed.params.schema import params_schema, write_schema

if sys.argv[1:] != ["schema"]:
    sys.exit("usage: python -m seedbed.params schema")
write_schema("schemas/params.schema.json", params_schema)
