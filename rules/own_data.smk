# Masks for your own pictures: `--config dataset=/path/to/folder -- my_masks`.


rule export_masks:
    input:
        index=LAYOUT.index("{dataset}"),
        masks=lambda wildcards: shards(
            LAYOUT.masks(
                wildcards.dataset,
                wildcards.split,
                PRESET.own.model,
                PRESET.own.explainer,
                PRESET.own.refiner,
                PRESET.seeds[0],
            ),
            "zip",
        ),
        code=code("export_masks"),
    output:
        directory(exported("{split}")),
    log:
        LAYOUT.log("exports/{dataset}/{split}"),
    benchmark:
        LAYOUT.benchmark("exports/{dataset}/{split}")
    conda:
        "../environment.yml"
    threads: threads_of("export_masks")
    resources:
        gpu=resource("export_masks", "gpu"),
        mem_mb=resource("export_masks", "mem_mb"),
        runtime=resource("export_masks", "runtime"),
    message:
        "Unpacking the masks of {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/export_masks.py"


rule my_masks:
    input:
        lambda _: own_masks(),


rule explain_image:
    input:
        unpack(image_inputs),
        code=code("explain_image", "seedbed.explain"),
    output:
        page=f"{LAYOUT.root}/explained/{image_name()}.png",
        maps=f"{LAYOUT.root}/explained/{image_name()}.h5",
    log:
        LAYOUT.log(f"explained/{image_name()}"),
    benchmark:
        LAYOUT.benchmark(f"explained/{image_name()}")
    conda:
        "../environment.yml"
    threads: threads_of("explain_image")
    resources:
        gpu=resource("explain_image", "gpu"),
        mem_mb=resource("explain_image", "mem_mb"),
        runtime=resource("explain_image", "runtime"),
    params:
        network=image_network(),
        methods=image_methods(),
        top=3,
    message:
        "Explaining {input.image}: {output.page}"
    script:
        "../workflow_scripts/explain_image.py"
