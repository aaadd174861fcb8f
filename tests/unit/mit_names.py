"""Published names of a Mix Transformer's tensors."""

import re

import torch


def mmseg_tensors(encoder):
    """Tensors of the Mix Transformer as in OpenMMLab's file."""
    found = {}
    for name, tensor in encoder.items():
        if ".attn.kv." in name:
            continue
        if ".attn.q." in name:
            tensor = torch.cat([tensor, encoder[name.replace(".q.", ".kv.")]])
        if name.endswith(("fc1.weight", "fc2.weight")):
            tensor = tensor[..., None, None]
        name = re.sub(r"^patch_embed\.", "layers.0.0.", name)
        for part, place in (("downsample", 0), ("blocks", 1), ("norm", 2)):
            name = re.sub(rf"^stages\.(\d)\.{part}\.", rf"layers.\1.{place}.", name)
        name = re.sub(r"(layers\.\d\.0\.)proj\.", r"\1projection.", name)
        for ours, theirs in ((".attn.q.", ".attn.attn.in_proj_"), (".attn.proj.", ".attn.attn.out_proj."),
                             (".mlp.fc1.", ".ffn.layers.0."), (".mlp.dwconv.", ".ffn.layers.1."),
                             (".mlp.fc2.", ".ffn.layers.4.")):  # fmt: skip
            name = name.replace(ours, theirs)
        found[name] = tensor
    return found
