# Everything that touches Snakemake's internals: errors, locks, the scheduler's limits, plans and their cost.

import atexit
import os
import pickle
import re
from functools import wraps

from snakemake.iocontainers import Snakemake

from seedbed.devices.visible import visible_devices
from seedbed.errors import UserError
from seedbed.io.filelock import Lock, lock
from seedbed.plan.command import file_command
from seedbed.plan.cost import Machine, cost_lines
from seedbed.plan.disk import DiskForecast
from seedbed.plan.forecast import Forecaster
from seedbed.plan.jobs import PlannedJob, write_plan
from seedbed.plan.rates import asked_rates

# -- a mistake in the parameters ends as one clear message instead of a traceback --------------------------------------


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


def command_of_a_file():
    """What makes one file of this run again when its path is put behind it."""
    settings = workflow.config_settings
    return file_command(settings.config_args or (), settings.configfiles, BASE.resolve())


# -- locks -------------------------------------------------------------------------------------------------------------


def hold_folder():
    """Mark this process as alive in the working directory, after sweeping the locks of dead ones.

    Every run shares one advisory lock that dies with its process. Whoever gets it alone is alone, so Snakemake's own
    locks are left over from a killed run. Where the file system has no locks nobody can tell: nothing is swept then, and
    Snakemake says itself what to do. Returns that lock, and whether another run is at work.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    alive = (folder / "alive.lock").open("w")
    marks = list((folder / "locks").glob("*"))
    alone = lock(alive, wait=False) is Lock.HELD
    if alone:
        for stale in marks:
            stale.unlink(missing_ok=True)
    lock(alive, shared=True)
    # Another run's locks stand, and Snakemake says so if the two want the same files. A dry run has none.
    return alive, not alone and bool(marks)


run_is_alive, others_work = hold_folder() if workflow.is_main_process else (None, False)

# -- limits of the scheduler -------------------------------------------------------------------------------------------


def limit_devices():
    """Let the scheduler start no more GPU jobs than there are GPUs; none are held back where there is no GPU.

    A cluster's GPUs are not this machine's, so nothing is limited there: a cluster run always has a number of nodes
    (--jobs), and which executor will run is not known yet. A given limit stands, whatever other resources are given;
    jobs also wait for devices themselves.
    """
    if workflow.nodes is None and "gpu" not in workflow.global_resources:
        devices = said(visible_devices)()
        if devices:
            workflow.register_resource("gpu", len(devices))


if workflow.is_main_process:
    limit_devices()


def lift_job_rate_limit():
    """Let the scheduler wake up when a job ends, and at no other time.

    Snakemake's own limit of 100 new jobs a second wakes it once more every second for each job that has ended while
    others wait, so that after a few hundred jobs it takes half a core by itself (snakemake issue 2967). Cores, GPUs and
    a cluster's --jobs limit what runs. A limit of yours, --max-jobs-per-timespan, stands.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onstart:
    lift_job_rate_limit()


def request_generic_resources(name):
    """Turn each rule's ``gpu`` into ``gres``, for Slurm sites that refuse --gpus; the executor must see one of the two."""
    if not re.fullmatch(r"\w+(:[A-Za-z_][\w.]*)?", str(name)):
        raise WorkflowError(
            f"gres: '{name}' must be a name such as 'gpu', or name and type such as 'gpu:a100'; "
            "the number of GPUs is each rule's own (params.yaml, presets.*.resources)."
        )
    for each in workflow.rules:
        if "gpu" not in each.resources:
            continue
        gpus = each.resources["gpu"]
        if gpus.is_evaluable():  # by network
            each.resources.update(
                {"gpu": 0, "gres": lambda wildcards, gpus=gpus: f"{name}:{gpus.evaluate(wildcards).value}"}
            )
        elif gpus.value:
            each.resources.update({"gpu": 0, "gres": f"{name}:{gpus.value}"})


# -- the plan of a dry run: its cost on the terminal, or a file for `status`, `cost` and benchmarks (--config plan=FILE),
# -- or the job of one target as its script would be given it, for workflow_scripts/alone.py (--config job=FILE) ---------


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


def planned_gpus(resources):
    """GPUs of a job, however a site wants to be asked for them."""
    return resources.get("gpu", 0) or int(str(resources.get("gres", "0")).split(":")[-1])


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
    forecaster = Forecaster(PRESET, said(asked_rates)(config)[0], PIPELINE.parameters.protocol)
    for job in jobs:
        names = {key: str(value) for key, value in job.wildcards_dict.items()}
        room, gpu = tuple(disk.room(job.rule.name, names)), planned_gpus(job.resources)
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
    if not workflow.dryrun or not getattr(workflow, "dag", None) or not workflow.dag.targetjobs:
        return  # there is no plan
    if config.get("job"):
        write_job(config["job"])
    elif config.get("plan"):
        write_plan(config["plan"], planned_jobs())
    else:
        machine = Machine(planned_limit("_cores") or os.cpu_count(), planned_limit("gpu"), asked_rates(config)[1])
        print("", *cost_lines(planned_jobs(), machine), sep="\n")


if workflow.is_main_process:  # whether this is a dry run is known only once it has begun
    atexit.register(show_plan)
