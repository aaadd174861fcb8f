# Seedbed: image-level labels to segmentation masks, and four papers table by table.
# Configuration, then the stages in the order data flows, then the named targets.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")

# -- configuration ----------------------------------------------------------------------------------------------------


configfile: Path(workflow.basedir) / "params.yaml"


include: "rules/locks.smk"
include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/plan.smk"
include: "rules/plan_figures.smk"
include: "rules/plan_targets.smk"
include: "rules/plan_requests.smk"
include: "rules/cost.smk"
include: "rules/planned.smk"
include: "rules/devices.smk"
include: "rules/scheduler.smk"


report: "rules/report/workflow.rst"


scattergather:
    shard=PRESET.shards,


# -- stages -----------------------------------------------------------------------------------------------------------


include: "rules/data.smk"
include: "rules/weights.smk"
include: "rules/classifiers.smk"
include: "rules/heatmaps.smk"
include: "rules/attention.smk"
include: "rules/affinity.smk"
include: "rules/masks.smk"
include: "rules/segmenters.smk"
include: "rules/checkpoints.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/tracking.smk"
include: "rules/report.smk"
include: "rules/own_data.smk"
include: "rules/parameters.smk"


checked(PRESET.check_rules, RULES_WITH_RESOURCES)


include: "rules/slurm.smk"


# -- targets ----------------------------------------------------------------------------------------------------------


rule headlines:
    default_target: True
    input:
        report_path(),
        [LAYOUT.tracking(*names) for names in headline_tables()],
        table_files(headline_tables(), ".csv"),


rule all_tables:
    input:
        report_path("full_report"),
        [LAYOUT.tracking(*names) for names in built_tables()],
        table_files(built_tables(), ".csv"),
        [f"{LAYOUT.figure(*names)}.html" for names in built_figures()],


for paper in PAPERS.values():
    for table in paper.tables:

        rule:
            name:
                f"{paper.id}_{table.id}"
            input:
                table_files([(paper.id, table.id)], ".csv"),
                table_files([(paper.id, table.id)], ".html"),
                LAYOUT.tracking(paper.id, table.id),

        if submitted_columns(paper.id, table.id):

            rule:
                name:
                    f"{paper.id}_{table.id}_submission"
                input:
                    lambda wildcards, names=(paper.id, table.id): required_submissions(
                        *names
                    ),

    for figure in paper.figures:

        rule:
            name:
                f"{paper.id}_{figure.id}"
            input:
                f"{LAYOUT.figure(paper.id, figure.id)}.html",


rule help:
    log:
        LAYOUT.log("help"),
    localrule: True
    conda:
        "environment.yml"
    params:
        code=code("print_targets"),
        preset=PRESET.name,
        targets=described_targets(),
    script:
        "workflow_scripts/print_targets.py"


rule status:
    log:
        LAYOUT.log("status"),
    localrule: True
    conda:
        "environment.yml"
    params:
        code=code("print_status"),
        targets=str(config.get("of") or "headlines").split(","),
        snakefile=str(BASE / "Snakefile"),
        cores=planned_limit("_cores") or os.cpu_count(),
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
        code=code("print_cost"),
        targets=str(config.get("of") or "headlines").split(","),
        snakefile=str(BASE / "Snakefile"),
        cores=planned_limit("_cores") or os.cpu_count(),
    script:
        "workflow_scripts/print_cost.py"


localrules:
    headlines,
    all_tables,
    help,
    status,
    cost,
    params,
