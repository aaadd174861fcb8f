"""What the target ``evidence`` makes: every table and figure of `papers/evidence.yaml`, and the scored pseudo masks."""

from collections.abc import Mapping
from typing import Any

from seedbed.errors import UserError
from seedbed.io.notice import notice
from seedbed.params.load import user_path
from seedbed.params.samples import PSEUDO_MASKS, samples_left_out
from seedbed.plan.planned_figures import PlannedFigures
from seedbed.plan.planned_tables import PlannedTables
from seedbed.plan.requests import ScoredMasks

PAPER = "evidence"


class Evidence:
    """Real photographs: ``--config preset=small samples=/path/to/folder``.

    Args:
        config: what the command line says.
        tables, figures: what the preset makes of the papers.
        scored: the samples' pseudo masks.
    """

    def __init__(
        self, config: Mapping[str, Any], tables: PlannedTables, figures: PlannedFigures, scored: ScoredMasks
    ) -> None:
        self.config, self.tables, self.figures, self.scored = config, tables, figures, scored
        self.layout = tables.layout

    def files(self) -> list[str]:
        """Tables, their pages, figures and scores, as far as the samples hold what they need.

        Raises:
            UserError: no samples are given.
        """
        if not self.config.get("samples"):
            raise UserError(
                "evidence needs real photographs: --config preset=small samples=/path/to/folder (see docs/evidence.md)."
            )
        tables = [names for names in self.tables.built() if names[0] == PAPER]
        figures = [names for names in self.figures.built() if names[0] == PAPER]
        drawn = [f"{self.layout.figure(*names)}.html" for names in figures]
        scores = [] if PSEUDO_MASKS in self._left_out() else [self.scored.folder]
        return [*self.tables.files(tables, ".csv"), *self.tables.files(tables, ".html"), *drawn, *scores]

    def say_what_is_left_out(self) -> None:
        """Say which samples the folder lacks, so that nothing is made of them."""
        if self.config.get("samples") and self._left_out():
            notice.warning(
                "samples: %s holds no %s; what needs it is left out.",
                self.config["samples"],
                " and no ".join(self._left_out()),
            )

    def _left_out(self) -> list[str]:
        return samples_left_out(user_path(self.config["samples"]))
