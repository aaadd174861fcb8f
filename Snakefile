# Seedbed: image-level labels to segmentation masks, and four papers table by table.
# Configuration, then the stages in the order data flows, then the named targets.

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")

# What belongs to the workflow lies beside this file, whatever includes it. So does its library: none need be installed.
BASE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
sys.path.insert(0, str(BASE / "src"))

from seedbed.tracking import say_what_waits

# -- configuration ----------------------------------------------------------------------------------------------------


include: "rules/engine.smk"
include: "rules/common.smk"


report: "rules/report/workflow.rst"


# An image with the environment of requirements.lock, in which jobs run where `--sdm apptainer` is given.
if config.get("container"):

    container: str(config["container"])


# -- stages -----------------------------------------------------------------------------------------------------------


include: "rules/data.smk"
include: "rules/weights.smk"
include: "rules/texts.smk"
include: "rules/classifiers.smk"
include: "rules/heatmaps.smk"
include: "rules/networks.smk"
include: "rules/affinity.smk"
include: "rules/masks.smk"
include: "rules/segmenters.smk"
include: "rules/predictions.smk"
include: "rules/checkpoints.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/tracking.smk"
include: "rules/report.smk"
include: "rules/own_data.smk"
include: "rules/parameters.smk"
include: "rules/archive.smk"


PIPELINE.check_resources()
if config.get("gres"):
    request_generic_resources(config["gres"])


onsuccess:
    say_what_waits(Path(LAYOUT.results))


onerror:
    say_what_waits(Path(LAYOUT.results))


# -- targets ----------------------------------------------------------------------------------------------------------


rule headlines:
    default_target: True
    input:
        LAYOUT.report(),
        [LAYOUT.tracking(*names) for names in PIPELINE.tables.headlines()],
        PIPELINE.tables.files(PIPELINE.tables.headlines(), ".csv"),


rule all_tables:
    input:
        LAYOUT.report("full_report"),
        [LAYOUT.tracking(*names) for names in PIPELINE.tables.built()],
        PIPELINE.tables.files(PIPELINE.tables.built(), ".csv"),
        [f"{LAYOUT.figure(*names)}.html" for names in PIPELINE.figures.built()],


rule evidence:
    input:
        lambda wildcards: PIPELINE.evidence.files(),


for target, names in PIPELINE.tables.targets.items():

    rule:
        name:
            target
        input:
            PIPELINE.tables.files([names], ".csv"),
            PIPELINE.tables.files([names], ".html"),
            LAYOUT.tracking(*names),

    if PIPELINE.tables.submitted(*names):

        rule:
            name:
                f"{target}_submission"
            input:
                lambda wildcards, names=names: PIPELINE.tables.required_archives(*names),


for target, names in PIPELINE.figures.targets.items():

    rule:
        name:
            target
        input:
            f"{LAYOUT.figure(*names)}.html",


rule help:
    log:
        LAYOUT.log("help"),
    localrule: True
    conda:
        "environment.yml"
    params:
        preset=PRESET.name,
        targets=PIPELINE.targets(),
    script:
        "workflow_scripts/print_targets.py"


rule status:
    log:
        LAYOUT.log("status"),
    localrule: True
    conda:
        "environment.yml"
    params:
        **asked_plan(),
        gpus=planned_limit("gpu"),
        others_work=others_work,
    script:
        "workflow_scripts/print_status.py"


rule cost:
    log:
        LAYOUT.log("cost"),
    localrule: True
    conda:
        "environment.yml"
    params:
        **asked_plan(),
        gpus=planned_limit("gpu"),
    script:
        "workflow_scripts/print_cost.py"


localrules:
    headlines,
    all_tables,
    evidence,
    help,
    status,
    cost,
    params,
