"""MLflow from the command line.

``python -m seedbed.tracking [RESULTS]`` sends the records that wait below a results folder.
``python -m seedbed.tracking register WEIGHTS DATA_CARD NAME`` puts a trained network into the model registry.
"""

import sys
from pathlib import Path

from seedbed.errors import UserError
from seedbed.tracking.registry import register
from seedbed.tracking.runs import default_uri, sync


def main(arguments: list[str]) -> None:
    """Do what the arguments ask, and say what came of it."""
    if arguments[:1] == ["register"]:
        if len(arguments) != 4:
            sys.exit(__doc__)
        _, weights, card, name = arguments
        try:
            number = register(weights, card, name, default_uri("results"))
        except UserError as error:
            sys.exit(str(error))
        print(f"Registered as models:/{name}/{number}.")
    elif len(arguments) > 1:
        sys.exit(__doc__)
    else:
        folder = Path(arguments[0] if arguments else "results")
        done, waiting = sync(folder, default_uri(folder))
        print(f"Sent {done} waiting record(s) to MLflow; {waiting} still wait.")


if __name__ == "__main__":
    main(sys.argv[1:])
