# Slurm sites that want GPUs as a generic resource (--gres) and refuse --gpus: --config gres=gpu, or gres=gpu:a100.

import re


def request_generic_resources(name):
    """Turn each rule's ``gpu`` into ``gres``; the executor hands both on and must see one."""
    if not re.fullmatch(r"\w+(:[A-Za-z_][\w.]*)?", str(name)):
        raise WorkflowError(
            f"gres: '{name}' must be a name such as 'gpu', or name and type such as 'gpu:a100'; "
            "the number of GPUs is each rule's own (params.yaml, presets.*.resources)."
        )
    for each in workflow.rules:
        if "gpu" not in each.resources:
            continue
        gpus = each.resources["gpu"]
        if gpus.is_evaluable():  # by network
            each.resources.update(
                {
                    "gpu": 0,
                    "gres": lambda wildcards, gpus=gpus: f"{name}:{gpus.evaluate(wildcards).value}",
                }
            )
        elif gpus.value:
            each.resources.update({"gpu": 0, "gres": f"{name}:{gpus.value}"})


if config.get("gres"):
    request_generic_resources(config["gres"])
