# The HTML report: every headline table of the preset; the full one holds every table and figure it can make.


rule write_report:
    input:
        unpack(PIPELINE.page_inputs.write_report),
    output:
        report(LAYOUT.report(), caption="report/report.rst", category="Report"),
    log:
        LAYOUT.log("report"),
    benchmark:
        LAYOUT.benchmark("report")
    conda:
        "../environment.yml"
    threads: threads_of("write_report")
    resources:
        **resources_of("write_report"),
    params:
        **PIPELINE.page_parameters.write_report(),
    message:
        "Report: {output}"
    script:
        "../workflow_scripts/write_report.py"


use rule write_report as write_full_report with:
    input:
        unpack(PIPELINE.page_inputs.write_full_report),
    output:
        report(LAYOUT.report("full_report"), caption="report/report.rst", category="Report"),
    log:
        LAYOUT.log("full_report"),
    benchmark:
        LAYOUT.benchmark("full_report")
