# What a run would cost: after a dry run, jobs per rule and the hours that their declared runtimes allow.

import atexit
import logging
from collections import Counter


class CostSheet(logging.Handler):
    """Adds up the jobs that a dry run announces."""

    def __init__(self):
        super().__init__()
        self.jobs, self.minutes, self.gpu_minutes = Counter(), Counter(), Counter()

    def emit(self, record):
        if getattr(record, "event", None) == "job_info":
            minutes = record.resources.get("runtime", 0)
            self.jobs[record.rule_name] += 1
            self.minutes[record.rule_name] += minutes * record.threads
            self.gpu_minutes[record.rule_name] += minutes * planned_gpus(record.resources)

    def show(self):
        if not self.jobs or not workflow.dryrun:
            return
        print(f"\n{'cost at most':28}{'jobs':>8}{'core-hours':>13}{'GPU-hours':>12}")
        for name in sorted(self.jobs, key=lambda name: (-self.gpu_minutes[name], name)):
            core, gpu = self.minutes[name] / 60, self.gpu_minutes[name] / 60
            print(f"{name:28}{self.jobs[name]:>8}{core:>13.1f}{gpu:>12.1f}")
        core, gpu = sum(self.minutes.values()) / 60, sum(self.gpu_minutes.values()) / 60
        print(f"{'all':28}{sum(self.jobs.values()):>8}{core:>13.1f}{gpu:>12.1f}")
        print("Upper bounds from the declared runtimes (params.yaml, presets.*.resources), not forecasts.")


if workflow.is_main_process:  # whether this is a dry run is known only once it has begun
    cost_sheet = CostSheet()
    logging.getLogger("snakemake.logging").addHandler(cost_sheet)
    atexit.register(cost_sheet.show)
