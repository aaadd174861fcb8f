# Published checkpoints in place of networks trained here: `--config models__mctformerv2__checkpoint=/path.pth`.


rule adopt_classifier:
    input:
        unpack(PIPELINE.inputs.adopt_classifier),
    output:
        weights=f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/model.safetensors",
        record=f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/checkpoint.json",
    log:
        LAYOUT.log(LAYOUT.classifier("{dataset}", "{model}", "{seed}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.classifier("{dataset}", "{model}", "{seed}"))
    wildcard_constraints:
        model=networks("models", published=True),
    conda:
        "../environment.yml"
    threads: threads_of("adopt_checkpoint")
    resources:
        **resources_of("adopt_checkpoint"),
    params:
        **PIPELINE.parameters.adopt_classifier(),
    message:
        "Taking the published checkpoint {input.file} for {params.name}"
    script:
        "../workflow_scripts/adopt_checkpoint.py"


use rule adopt_classifier as adopt_affinity_network with:
    input:
        unpack(PIPELINE.inputs.adopt_affinity_network),
    output:
        weights=f"{AFFINITY}/model.safetensors",
        record=f"{AFFINITY}/checkpoint.json",
    log:
        LAYOUT.log(AFFINITY),
    benchmark:
        LAYOUT.benchmark(AFFINITY)
    wildcard_constraints:
        network=networks("affinity_networks", published=True),
    params:
        **PIPELINE.parameters.adopt_affinity_network(),


use rule adopt_classifier as adopt_segmenter with:
    input:
        unpack(PIPELINE.inputs.adopt_segmenter),
    output:
        weights=f"{SEGMENTER}/model.safetensors",
        record=f"{SEGMENTER}/checkpoint.json",
    log:
        LAYOUT.log(SEGMENTER),
    benchmark:
        LAYOUT.benchmark(SEGMENTER)
    wildcard_constraints:
        segmenter=networks("segmenters", published=True),
    params:
        **PIPELINE.parameters.adopt_segmenter(),
