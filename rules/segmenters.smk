# Segmentation networks trained on pseudo masks, their predictions and scores.

SEGMENTER = LAYOUT.segmenter("{dataset}", "{model}", "{explainer}", "{refiner}", "{segmenter}", "{seed}")


rule train_segmenter:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        masks=training_masks,
        weights=lambda wildcards: initial_weights(on(wildcards).segmenters[wildcards.segmenter].weights),
        code=lambda wildcards: code("train_segmenter", *modules_of(on(wildcards).segmenters[wildcards.segmenter])),
    output:
        weights=f"{SEGMENTER}/model.safetensors",
        history=f"{SEGMENTER}/history.csv",
    log:
        LAYOUT.log(SEGMENTER),
    benchmark:
        LAYOUT.benchmark(SEGMENTER)
    wildcard_constraints:
        segmenter=networks("segmenters"),
    conda:
        "../environment.yml"
    threads: threads_of("train_segmenter")
    resources:
        gpu=resource("train_segmenter", "gpu"),
        mem_mb=resource("train_segmenter", "mem_mb"),
        runtime=resource("train_segmenter", "runtime"),
    params:
        segmenter=lambda wildcards: section("segmenters", wildcards.segmenter, on(wildcards)),
        state=f"{SEGMENTER}/resume.pt",
    message:
        "Training {wildcards.segmenter} on the masks of {wildcards.refiner}, seed {wildcards.seed} (progress: {log})"
    script:
        "../workflow_scripts/train_segmenter.py"


rule segment:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        weights=f"{SEGMENTER}/model.safetensors",
        code=lambda wildcards: code("segment", *modules_of(on(wildcards).segmenters[wildcards.segmenter])),
    output:
        f"{SEGMENTER}/{{split}}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{SEGMENTER}/{{split}}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{SEGMENTER}/{{split}}/{{scatteritem}}")
    conda:
        "../environment.yml"
    threads: threads_of("segment")
    resources:
        gpu=resource("segment", "gpu"),
        mem_mb=resource("segment", "mem_mb"),
        runtime=resource("segment", "runtime"),
    params:
        segmenter=lambda wildcards: section("segmenters", wildcards.segmenter, on(wildcards)),
        crf=lambda wildcards: crf(on(wildcards).segmenters[wildcards.segmenter].crf),
    message:
        "Segmenting {wildcards.dataset} {wildcards.split} with {wildcards.segmenter}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/segment.py"


use rule score_pseudo_masks as score_segmentation with:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        masks=shards(f"{SEGMENTER}/{{split}}", "zip"),
        code=code("score_masks"),
    output:
        f"{SEGMENTER}/{{split}}/metrics.json",
    log:
        LAYOUT.log(f"{SEGMENTER}/{{split}}/score"),
    benchmark:
        LAYOUT.benchmark(f"{SEGMENTER}/{{split}}/score")
    message:
        "Scoring the predictions of {wildcards.segmenter} on {wildcards.dataset} {wildcards.split}"


rule pack_submission:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        masks=shards(f"{SEGMENTER}/{{split}}", "zip"),
        code=code("pack_submission"),
    output:
        archive=f"{SEGMENTER}/{{split}}/submission.tgz",
        record=f"{SEGMENTER}/{{split}}/submission.json",
    log:
        LAYOUT.log(f"{SEGMENTER}/{{split}}/submission"),
    benchmark:
        LAYOUT.benchmark(f"{SEGMENTER}/{{split}}/submission")
    conda:
        "../environment.yml"
    threads: threads_of("pack_submission")
    resources:
        gpu=resource("pack_submission", "gpu"),
        mem_mb=resource("pack_submission", "mem_mb"),
        runtime=resource("pack_submission", "runtime"),
    message:
        "Archive of {wildcards.segmenter} on {wildcards.dataset} {wildcards.split} for the evaluation server"
    script:
        "../workflow_scripts/pack_submission.py"
