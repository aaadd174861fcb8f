# Pretrained weights: shipped with the project, or published by timm; one safetensors file each.


# Checksums prove what is shipped and what is fetched, so neither time stamps nor code are among what makes these run again.


rule provide_shipped_weights:
    input:
        file=lambda wildcards: ancient(PIPELINE.inputs.shipped_weights(wildcards)),
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("shipped", "weights"),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        **resources_of("provide_weights"),
    params:
        **PIPELINE.parameters.provide_shipped_weights(),
    message:
        "Checking the shipped weights {wildcards.weights}"
    script:
        "../workflow_scripts/provide_shipped_weights.py"


rule fetch_timm_weights:
    output:
        LAYOUT.timm_stamp("{tag}"),
    log:
        LAYOUT.log("archives/timm/{tag}"),
    benchmark:
        LAYOUT.benchmark("archives/timm/{tag}")
    wildcard_constraints:
        tag="[^/]+",
    retries: 2
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        **resources_of("provide_weights"),
    params:
        **PIPELINE.parameters.fetch_timm_weights(),
    message:
        "Verifying the timm weights {wildcards.tag}, or fetching them"
    script:
        "../workflow_scripts/fetch_timm_weights.py"


rule convert_weights:
    input:
        unpack(PIPELINE.inputs.convert_weights),
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("fetched", "weights"),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        **resources_of("provide_weights"),
    params:
        **PIPELINE.parameters.convert_weights(),
    message:
        "Converting the published weights {wildcards.weights}"
    script:
        "../workflow_scripts/convert_weights.py"


use rule convert_weights as provide_timm_weights with:
    input:
        unpack(PIPELINE.inputs.provide_timm_weights),
    wildcard_constraints:
        weights=names_of("timm", "weights"),
    message:
        "Providing the timm weights {wildcards.weights}"


rule compare_rebuilt_weights:
    input:
        unpack(PIPELINE.inputs.compare_rebuilt_weights),
    output:
        LAYOUT.rebuilt("{weights}"),
    log:
        LAYOUT.log("rebuilt/{weights}"),
    benchmark:
        LAYOUT.benchmark("rebuilt/{weights}")
    wildcard_constraints:
        weights=names_of("shipped", "weights"),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        **resources_of("provide_weights"),
    params:
        **PIPELINE.parameters.compare_rebuilt_weights(),
    message:
        "Comparing the shipped weights {wildcards.weights} with {input.rebuilt}"
    script:
        "../workflow_scripts/compare_rebuilt_weights.py"


rule rebuild_weights:
    input:
        [LAYOUT.rebuilt(name) for name in PIPELINE.names.shipped_weights()],
