# MLflow: one record a table, written after it and never in its way.


rule track_table:
    input:
        unpack(PIPELINE.page_inputs.track_table),
    output:
        LAYOUT.tracking("{paper}", "{table}"),
    log:
        LAYOUT.log("tracking/{paper}/{table}"),
    benchmark:
        LAYOUT.benchmark("tracking/{paper}/{table}")
    conda:
        "../environment.yml"
    threads: threads_of("track_table")
    resources:
        **resources_of("track_table"),
    params:
        **PIPELINE.page_parameters.track_table(),
    message:
        "Logging table {wildcards.table} of {wildcards.paper} to MLflow"
    script:
        "../workflow_scripts/track_table.py"


localrules:
    track_table,
