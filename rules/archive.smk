# A finished table as one file to deposit: `snakemake --config of=exvit_table2 -- archive`.


def archived_tables():
    """The tables that `of` names, or the headline tables."""
    names = str(config["of"]).split(",") if config.get("of") else ["_".join(names) for names in headline_tables()]
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise WorkflowError(f"of: {unknown_name('table', unknown[0], TABLES)}")
    return [TABLES[name] for name in names]


def archive_path(paper, table):
    """The zip of a table."""
    return f"{LAYOUT.root}/archives/{paper}_{table}.zip"


rule archive_table:
    input:
        table=multiext(TABLE, ".csv", ".md", ".json", ".html", ".png"),
        metrics=metrics_files,
        histories=history_files,
        checkpoints=checkpoint_files,
        cards=lambda wildcards: [
            LAYOUT.card(name)
            for name in sorted({cell.measurement.dataset for cell in measured(wildcards.paper, wildcards.table)})
        ],
        code=code("archive_table"),
    output:
        f"{LAYOUT.root}/archives/{{paper}}_{{table}}.zip",
    log:
        LAYOUT.log("archives/{paper}_{table}"),
    wildcard_constraints:
        paper="|".join(PAPERS),
    localrule: True
    conda:
        "../environment.yml"
    params:
        title=lambda wildcards: table_of(wildcards.paper, wildcards.table).title,
        paper=lambda wildcards: PAPERS[wildcards.paper].head(),
        project=str(BASE),
    message:
        "Archive of {wildcards.paper}_{wildcards.table}"
    script:
        "../workflow_scripts/archive_table.py"


rule archive:
    input:
        lambda wildcards: [archive_path(*names) for names in archived_tables()],
    localrule: True
