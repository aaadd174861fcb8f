# What is measured on a classifier itself, without an explainer: what its layers attend to, how large it is. In shards.

MEASURED = f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/{{split}}/{{measurement}}"


rule measure_network:
    input:
        unpack(PIPELINE.inputs.measure_network),
    output:
        f"{MEASURED}/{{scatteritem}}.json",
    log:
        LAYOUT.log(f"{MEASURED}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MEASURED}/{{scatteritem}}")
    wildcard_constraints:
        measurement=PIPELINE.parameters.of_networks,
    conda:
        "../environment.yml"
    threads: threads_of("measure_network")
    resources:
        **resources_of("measure_network"),
    params:
        **PIPELINE.parameters.measure_network(),
    message:
        "Measuring {wildcards.measurement} of {wildcards.model} on {wildcards.dataset}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/measure_network.py"


use rule merge_protocol as merge_network with:
    input:
        unpack(PIPELINE.inputs.merge_network),
    output:
        f"{MEASURED}.json",
    log:
        LAYOUT.log(MEASURED),
    benchmark:
        LAYOUT.benchmark(MEASURED)
    wildcard_constraints:
        measurement=PIPELINE.parameters.of_networks,
    params:
        **PIPELINE.parameters.merge_network(),
    message:
        "Result of {wildcards.measurement} of {wildcards.model} on {wildcards.dataset} {wildcards.split}"
