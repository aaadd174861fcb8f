# What a run would cost: after a dry run (-n), jobs, GPU-hours and disk. `-q rules reason` leaves the sheet alone.

import atexit
import logging

from seedbed.report.cost import CostSheet, PlannedJob


class CostHandler(logging.Handler):
    """Hands the jobs that a dry run announces to the cost sheet."""

    def __init__(self, sheet):
        super().__init__()
        self.sheet = sheet

    def emit(self, record):
        if getattr(record, "event", None) == "job_info":
            minutes, gpus = record.resources.get("runtime", 0), planned_gpus(
                record.resources
            )
            self.sheet.add(
                PlannedJob(
                    record.rule_name,
                    record.wildcards or {},
                    record.threads,
                    minutes,
                    gpus,
                )
            )

    def show(self):
        if workflow.dryrun:
            print("", *self.sheet.lines(), sep="\n")


if (
    workflow.is_main_process
):  # whether this is a dry run is known only once it has begun
    cost_handler = CostHandler(CostSheet(PRESET, SOURCES))
    logging.getLogger("snakemake.logging").addHandler(cost_handler)
    atexit.register(cost_handler.show)
