# Segmentation networks trained on pseudo masks, their predictions and scores.

SEGMENTER = LAYOUT.segmenter("{dataset}", "{model}", "{explainer}", "{refiner}", "{segmenter}", "{seed}")


rule train_segmenter:
    input:
        unpack(PIPELINE.inputs.train_segmenter),
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
        **resources_of("train_segmenter"),
    params:
        **PIPELINE.parameters.train_segmenter(),
    message:
        "Training {wildcards.segmenter} on the masks of {wildcards.refiner}, seed {wildcards.seed} (progress: {log})"
    script:
        "../workflow_scripts/train_segmenter.py"


rule segment:
    input:
        unpack(PIPELINE.inputs.segment),
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
        **resources_of("segment"),
    params:
        **PIPELINE.parameters.segment(),
    message:
        "Segmenting {wildcards.dataset} {wildcards.split} with {wildcards.segmenter}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/segment.py"


use rule score_pseudo_masks as score_segmentation with:
    input:
        unpack(PIPELINE.inputs.score_segmentation),
    output:
        f"{SEGMENTER}/{{split}}/metrics.json",
    log:
        LAYOUT.log(f"{SEGMENTER}/{{split}}/score"),
    benchmark:
        LAYOUT.benchmark(f"{SEGMENTER}/{{split}}/score")
    params:
        **PIPELINE.parameters.score_segmentation(),
    message:
        "Scoring the predictions of {wildcards.segmenter} on {wildcards.dataset} {wildcards.split}"


rule pack_submission:
    input:
        unpack(PIPELINE.inputs.pack_submission),
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
        **resources_of("pack_submission"),
    params:
        **PIPELINE.parameters.pack_submission(),
    message:
        "Archive of {wildcards.segmenter} on {wildcards.dataset} {wildcards.split} for the evaluation server"
    script:
        "../workflow_scripts/pack_submission.py"
