# Everything that touches Snakemake's internals: errors, locks, the scheduler's limits, plans and their cost.

import atexit
import os
import pickle
from functools import cache, wraps
from inspect import signature
from shlex import quote

from snakemake.cli import parse_config
from snakemake.iocontainers import Snakemake
from snakemake.logging import logger

from seedbed.devices.visible import visible_devices, wanted_devices
from seedbed.errors import UserError
from seedbed.io.filelock import Lock, lock
from seedbed.plan.cost import Machine, cost_lines
from seedbed.plan.forecasts.disk import DiskForecast
from seedbed.plan.forecasts.forecast import Forecaster
from seedbed.plan.jobs import PlannedJob, generic_resource, write_plan
from seedbed.plan.forecasts.rates import asked_rates
from seedbed.plan.run_state import RunPlan

# -- a mistake in the parameters ends as one clear message instead of a traceback --------------------------------------

SIGNATURES = {}


def said(call):
    """Call the library; a mistake that a user can mend becomes Snakemake's own kind of error."""

    @wraps(call)
    def called(*arguments, **named):
        try:
            result = call(*arguments, **named)
        except UserError as error:
            raise SystemExit(f"\n{error}\n") from None
        if type(result) is dict:
            return {key: said(value) if callable(value) else value for key, value in result.items()}
        return result

    # Found once a function: Snakemake asks for it at each of a rule's jobs.
    key = getattr(call, "__code__", call), hasattr(call, "__self__")
    called.__signature__ = SIGNATURES.get(key) or SIGNATURES.setdefault(key, signature(call))
    return called


class Said:
    """An object of the library whose methods, and those of its parts, are called so."""

    def __init__(self, what):
        self._what = what

    def __getattr__(self, name):
        found = getattr(self._what, name)
        if callable(found):
            return said(found)
        return Said(found) if type(found).__module__.startswith("seedbed.plan") else found


# What was given behind --config and --configfile.
TYPED, FILES = workflow.config_settings.config_args or (), workflow.config_settings.configfiles

# Snakemake puts the interpreter's path into shell commands as it is: one with a blank in it must stand in quotes.
sys.executable = quote(sys.executable)


# -- locks -------------------------------------------------------------------------------------------------------------


def hold_folder():
    """Sweep the locks of dead runs from the working directory; returns a lock of this run, and whether others work."""
    # Every run shares one advisory lock that dies with its process. Whoever gets it alone is alone, so Snakemake's own
    # locks are left over from a killed run. Where the file system has no locks nobody can tell: nothing is swept then,
    # and Snakemake says itself what to do.
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    alive = (folder / "alive.lock").open("w")
    marks = list((folder / "locks").glob("*"))
    alone = lock(alive, wait=False) is Lock.HELD
    for stale in marks if alone else ():
        stale.unlink(missing_ok=True)
    lock(alive, shared=True)
    # Another run's locks stand, and Snakemake says so if the two want the same files. A dry run has none.
    return alive, not alone and bool(marks)


run_is_alive, others_work = hold_folder() if workflow.is_main_process else (None, False)

# -- limits of the scheduler -------------------------------------------------------------------------------------------


def limit_devices():
    """Let the scheduler start no more GPU jobs than there are GPUs; none are held back where there is no GPU."""
    # A cluster's GPUs are not this machine's, so nothing is limited there: a cluster run always has a number of nodes
    # (--jobs), and which executor will run is not known yet. A given limit stands, whatever other resources are given;
    # jobs also wait for devices themselves.
    if workflow.nodes is None and "gpu" not in workflow.global_resources:
        if devices := said(visible_devices)():
            workflow.register_resource("gpu", len(devices))


if workflow.is_main_process:
    limit_devices()


def lift_job_rate_limit():
    """Let the scheduler wake up when a job ends, and at no other time."""
    # Snakemake's own limit of 100 new jobs a second wakes it once more every second for each job that has ended while
    # others wait, so that after a few hundred jobs it takes half a core by itself (snakemake issue 2967). Cores, GPUs
    # and a cluster's --jobs limit what runs. A limit of yours, --max-jobs-per-timespan, stands.
    if (limiter := workflow.scheduler.job_rate_limiter) and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onstart:
    lift_job_rate_limit()
    tell_what_is_planned()


def request_generic_resources(name):
    """Turn each rule's ``gpu`` into ``gres``, for Slurm sites that refuse --gpus; the executor must see one of the two."""
    name = said(generic_resource)(name)
    for each in (one for one in workflow.rules if "gpu" in one.resources):
        gpus = each.resources["gpu"]
        if gpus.is_evaluable():  # by network
            each.resources.update(
                {"gpu": 0, "gres": lambda wildcards, gpus=gpus: f"{name}:{gpus.evaluate(wildcards).value}"}
            )
        elif gpus.value:
            each.resources.update({"gpu": 0, "gres": f"{name}:{gpus.value}"})


# -- the plan of a dry run: its cost on the terminal, or a file for `status`, `cost` and benchmarks (--config plan=FILE),
# -- or the job of one target as its script would be given it, for workflow_scripts/alone.py (--config job=FILE) ---------


# To forecast with, and whose they are: asked of the GPU's driver at most once, and only where there is a forecast.
RATES = cache(lambda: said(asked_rates)(config))


def planned_limit(name):
    """A limit of the command line or the profile, such as --resources gpu=4; 0 if there is none."""
    limit = workflow.global_resources.get(name) if name in workflow.global_resources else None
    return getattr(limit, "value", limit) or 0


def asked_plan():
    """What `status` and `cost` plan anew: the targets that `--config of=...` names, on the given cores."""
    return {
        "targets": str(config.get("of") or "headlines").split(","),
        "snakefile": str(BASE / "Snakefile"),
        "cores": planned_limit("_cores") or os.cpu_count(),
        "config": config,
    }


def start_of(job):
    """When a job that is marked as unfinished was started; None if it is not."""
    keys = [workflow.persistence._get_key(path) for path in job.output]
    marked = sorted(workflow.persistence._filter_incomplete_keys(keys))
    return workflow.persistence._get_recorded_starttime(marked[0]) if marked else None


def planned_jobs():
    """Every job of the DAG, done ones included, each after those that it waits for."""
    jobs = [job for level in workflow.dag.toposorted() for job in level]
    number = {job: place for place, job in enumerate(jobs)}
    disk = DiskForecast(PRESET, PIPELINE.sources)
    forecaster = Forecaster(PRESET, RATES()[0], PIPELINE.parameters.protocol)
    for job in jobs:
        names = {key: str(value) for key, value in job.wildcards_dict.items()}
        room, gpu = tuple(disk.room(job.rule.name, names)), wanted_devices(job.resources)
        yield PlannedJob(
            number[job],
            job.rule.name,
            str(job.output[0]) if job.output else job.rule.name,
            needed=workflow.dag.needrun(job),
            started=start_of(job),
            waits_for=tuple(sorted(number[other] for other in workflow.dag.dependencies[job])),
            threads=job.threads,
            gpu=gpu,
            minutes=job.resources.get("runtime", 0),
            benchmark=str(job.benchmark) if job.benchmark else None,
            wildcards=names,
            room=room,
            seconds=forecaster.seconds(job.rule.name, names, job.threads, gpu, room),
        )


def tell_what_is_planned():
    """Hand the plan to the plugin that shows a run's progress, where a profile asks for it."""
    displays = [handler for handler in workflow.logger_manager.get_log_handlers() if hasattr(handler, "begin")]
    if not displays:
        return
    try:
        jobs = tuple(planned_jobs())
        numbers = PIPELINE.tables.numbers({job.output for job in jobs if job.needed})
        cores = planned_limit("_cores") if workflow.local_exec else None
        # A rule's stage is its file in rules/, in the order in which the Snakefile includes them.
        stages = {one.name: Path(one.snakefile).stem.replace("_", " ") for one in workflow.rules}
        for display in displays:
            display.begin(RunPlan(jobs, stages, numbers, cores, planned_limit("gpu")))
    except Exception as error:  # results need no display
        logger.warning(f"There is no progress display ({type(error).__name__}: {error}); the run goes on without.")


def write_job(file):
    """Write a target's job: its rule's script, and the object ``snakemake`` that the script would see."""
    (job,) = workflow.dag.targetjobs
    given = Snakemake(
        *(job.input, job.output, job.params, job.wildcards, job.threads, job.resources, job.log, config),
        *(job.rule.name, None, str(BASE / "workflow_scripts")),
    )
    Path(file).write_bytes(pickle.dumps((job.rule.script and Path(job.rule.script).name, given)))


def show_plan():
    """After a dry run, its plan: as a file where one is asked for, else what it would cost."""
    dag = getattr(workflow, "dag", None)  # false, as it is empty, where nothing is left to do
    if not workflow.dryrun or dag is None or not dag.targetjobs:
        return  # there is no plan
    if config.get("job"):
        write_job(config["job"])
    elif config.get("plan"):
        write_plan(config["plan"], planned_jobs())
    else:
        machine = Machine(planned_limit("_cores") or os.cpu_count(), planned_limit("gpu"), RATES()[1])
        print("", *cost_lines(planned_jobs(), machine), sep="\n")


if workflow.is_main_process:  # whether this is a dry run is known only once it has begun
    atexit.register(show_plan)
