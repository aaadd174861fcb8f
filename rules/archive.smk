# A finished table as one file to deposit: `snakemake --config of=exvit_table2 -- archive`.


rule archive_table:
    input:
        unpack(PIPELINE.page_inputs.archive_table),
    output:
        LAYOUT.deposit("{paper}", "{table}"),
    log:
        LAYOUT.log("archives/{paper}_{table}"),
    wildcard_constraints:
        paper="|".join(PIPELINE.papers),
    localrule: True
    conda:
        "../environment.yml"
    params:
        **PIPELINE.page_parameters.archive_table(),
    message:
        "Archive of {wildcards.paper}_{wildcards.table}"
    script:
        "../workflow_scripts/archive_table.py"


rule archive:
    input:
        lambda wildcards: [LAYOUT.deposit(*names) for names in PIPELINE.tables.asked(config.get("of"))],
    localrule: True
