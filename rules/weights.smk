# Pretrained weights: shipped with the project, or published by timm; one safetensors file each.


rule provide_shipped_weights:
    input:
        file=lambda wildcards: str(BASE / PRESET.weights[wildcards.weights].file),
        code=code("provide_shipped_weights"),
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("shipped", PRESET.weights),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        sha256=lambda wildcards: PRESET.weights[wildcards.weights].sha256,
    message:
        "Checking the shipped weights {wildcards.weights}"
    script:
        "../workflow_scripts/provide_shipped_weights.py"


rule fetch_timm_weights:
    input:
        code=code("fetch_timm_weights"),
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("timm", PRESET.weights),
    retries: 2
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        tag=lambda wildcards: PRESET.weights[wildcards.weights].tag,
    message:
        "Fetching the timm weights {params.tag}"
    script:
        "../workflow_scripts/fetch_timm_weights.py"


rule convert_weights:
    input:
        file=weights_file,
        code=code("convert_weights"),
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("fetched", PRESET.weights),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    message:
        "Converting the published weights {wildcards.weights}"
    script:
        "../workflow_scripts/convert_weights.py"
