"""How long the trainings behind a number take, by forecast."""

from seedbed.papers.plan import Measurement, trained_on_the_way
from seedbed.params import Preset
from seedbed.params.preset import TRAININGS
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.forecasts.rates import devices

DEVICE = "h100"
"""What trainings compute on in a table: the same on every machine, so that a table is no other elsewhere."""


class TrainingHours:
    """Hours of the trainings behind a number: of GPUs for those that the preset trains on GPUs, else of jobs.

    Args:
        preset: the checked preset.
    """

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self._forecaster = Forecaster(preset, devices()[DEVICE], lambda _: {})
        self._rules = {wildcard: rule for rule, (_, wildcard) in TRAININGS.items()}

    def of(self, measurement: Measurement) -> float | None:
        """Sum over the trainings, one seed; 0 where nothing is trained, None where a forecast is not known."""
        hours = 0.0
        for wildcard, name in trained_on_the_way(measurement, self.preset).items():
            rule = self._rules[wildcard]
            held = self.preset.resources_for(rule).of(name)
            names = {"dataset": measurement.dataset, wildcard: name}
            seconds = self._forecaster.seconds(rule, names, held.threads, held.gpu)
            if seconds is None:
                return None
            hours += max(1, held.gpu) * seconds / 3600
        return hours

    def note(self) -> str:
        """What the hours are, for a footnote."""
        gpu = any(self.preset.resources_for(rule).gpu for rule in TRAININGS)
        where = "GPU-hours of one H100" if gpu else "hours of one job on cores"
        return f"`forecast`: {where} that the row's trainings take, as `snakemake cost` forecasts them; not measured."
