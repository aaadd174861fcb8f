"""The whole plan of a preset: targets, inputs and parameters of each rule, cells of tables, panels of figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedbed.data.raw.sources import SourceTable
from seedbed.errors import ParameterError, unknown_name
from seedbed.papers import Layout
from seedbed.papers.tables import Paper
from seedbed.params import Preset
from seedbed.params.absent_values import AbsentValues
from seedbed.plan.code import Code
from seedbed.plan.evidence import Evidence
from seedbed.plan.forecasts.rates import named_rates
from seedbed.plan.given import GivenParameters
from seedbed.plan.inputs import Inputs
from seedbed.plan.named_targets import described_targets
from seedbed.plan.names import Names
from seedbed.plan.own_preset import say_which
from seedbed.plan.pages import PageInputs, PageParameters
from seedbed.plan.paper_checks import check_papers
from seedbed.plan.parameter_checks import check_preset, check_sources
from seedbed.plan.planned_figures import PlannedFigures
from seedbed.plan.planned_tables import PlannedTables
from seedbed.plan.requests import ExplainedImage, OwnImages, ScoredMasks
from seedbed.plan.resources import RuleResources

PROJECT = Path(__file__).resolve().parents[3]


class Pipeline:
    """From names to files.

    Args:
        preset: the checked preset.
        papers: tables and figures by paper id.
        layout: where artifacts lie.
        sources: files that publishers offer.
        config: what the command line asks for: ``dataset``, ``image``, ``model``, ``on``, ``methods``, ``samples``.
        base: folder of the project, with its scripts and shipped weights.
        absent: what options that a result does not know stand for; defaults, if not given.
        command: what makes a file when its path is put behind it; pages show it.

    Attributes:
        inputs, page_inputs: a method a rule: from the names in a path to the files it reads.
        parameters, page_parameters: a method a rule: what its script is given.
        tables, figures: what the preset makes of the papers.
        own, scored, image, evidence: what the command line asks for.
        resources: threads, GPUs, memory and time of rules.
    """

    def __init__(
        self,
        preset: Preset,
        papers: dict[str, Paper],
        layout: Layout,
        sources: SourceTable,
        *,
        config: Mapping[str, Any] | None = None,
        base: Path = PROJECT,
        absent: AbsentValues | None = None,
        command: str = "",
    ) -> None:
        self.preset, self.papers, self.layout, self.sources = preset, papers, layout, sources
        self.config = config = config or {}
        scoring = bool({"scoring", "scoring__miou"} & set(config))
        background = any(key.startswith("explainers") and "background" in f"{key}{config[key]}" for key in config)
        self.names = Names(
            preset, layout, absent or AbsentValues({}), scoring_chosen=scoring, background_chosen=background
        )
        self.code = Code(base / "workflow_scripts")
        self.tables = PlannedTables(papers, self.names)
        self.figures = PlannedFigures(self.tables, self.names)
        self.inputs = Inputs(self.names, sources, base)
        self.page_inputs = PageInputs(self.tables, self.figures)
        self.parameters = GivenParameters(self.names, self.inputs, self.code)
        self.page_parameters = PageParameters(self.tables, self.figures, self.names, self.code, command)
        self.own = OwnImages(config, self.names, self.code)
        self.scored = ScoredMasks(config, self.own, self.names, self.code)
        self.image = ExplainedImage(config, self.tables, self.names, self.code)
        self.evidence = Evidence(config, self.tables, self.figures, self.scored)
        self.resources = RuleResources(preset, layout)
        self._check_targets()

    def targets(self) -> list[tuple[str, str, str]]:
        """Every named target: its name, one line, and how much of it the preset makes."""
        return described_targets(self.tables, self.figures)

    def check(self) -> None:
        """Check every name and option that the schema leaves open, in parameters and papers; claim your own images.

        Raises:
            UserError: naming the key, the word and its nearest match, of each that is wrong.
        """
        check_preset(self.preset)
        check_sources(self.preset, self.sources)
        check_papers(self.papers, self.preset, self.config)
        named_rates(self.config)
        self.own.claim()
        say_which(self.config, self.preset)
        self.evidence.say_what_is_left_out()

    def check_resources(self) -> None:
        """Check that resources are given to rules that exist; call it when every rule has asked for its own.

        Raises:
            ParameterError: naming the key and the nearest match.
        """
        self.preset.check_rules(self.resources.rules)

    def _check_targets(self) -> None:
        known = {**self.tables.targets, **self.figures.targets}
        for section, kind, names, among in (
            ("headlines", "table", self.preset.headlines, self.tables.targets),
            ("table_seeds", "table or figure", self.preset.table_seeds, known),
        ):
            for name in names:
                if name not in among:
                    raise ParameterError(f"presets.{self.preset.name}.{section}: {unknown_name(kind, name, among)}")
