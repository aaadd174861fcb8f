# Published checkpoints in place of networks trained here: `--config models__mctformerv2__checkpoint=/path.pth`.


rule adopt_classifier:
    input:
        file=lambda wildcards: checkpoint_file("models", wildcards.model),
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
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
        gpu=resource("adopt_checkpoint", "gpu"),
        mem_mb=resource("adopt_checkpoint", "mem_mb"),
        runtime=resource("adopt_checkpoint", "runtime"),
    params:
        code=lambda wildcards: code(
            "adopt_checkpoint",
            *modules.checkpoint_modules(
                section("models", wildcards.model, on(wildcards))
            ),
        ),
        name=lambda wildcards: wildcards.model,
        network=lambda wildcards: section("models", wildcards.model, on(wildcards)),
    message:
        "Taking the published checkpoint {input.file} for {params.name}"
    script:
        "../workflow_scripts/adopt_checkpoint.py"


use rule adopt_classifier as adopt_affinity_network with:
    input:
        file=lambda wildcards: checkpoint_file("affinity_networks", wildcards.network),
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
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
        code=lambda wildcards: code(
            "adopt_checkpoint",
            *modules.checkpoint_modules(
                section("affinity_networks", wildcards.network, on(wildcards))
            ),
        ),
        name=lambda wildcards: wildcards.network,
        network=lambda wildcards: section(
            "affinity_networks", wildcards.network, on(wildcards)
        ),


use rule adopt_classifier as adopt_segmenter with:
    input:
        file=lambda wildcards: checkpoint_file("segmenters", wildcards.segmenter),
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
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
        code=lambda wildcards: code(
            "adopt_checkpoint",
            *modules.checkpoint_modules(
                section("segmenters", wildcards.segmenter, on(wildcards))
            ),
        ),
        name=lambda wildcards: wildcards.segmenter,
        network=lambda wildcards: section(
            "segmenters", wildcards.segmenter, on(wildcards)
        ),
