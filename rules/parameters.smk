# What an entry of the parameters is once all has been merged, and where each of its values is from.


rule params:
    log:
        LAYOUT.log("params"),
    localrule: True
    conda:
        "../environment.yml"
    params:
        of=config.get("of"),
        files=[
            str(BASE / "params.yaml"),
            *map(str, workflow.config_settings.configfiles),
        ],
        overrides=dict(workflow.config_settings.config),
    script:
        "../workflow_scripts/print_params.py"
