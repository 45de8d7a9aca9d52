"""The families of timm's models, and a small representative of each.

A model belongs to the first family of its file whose names match; a file that is not listed holds
models without softmax attention between tokens, by reading it: the coverage run does not try them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import timm
from torch import nn

__all__ = ["FAMILIES", "Family", "family_of", "members", "representative", "without_attention"]

Arguments = Mapping[str, object]

SHALLOW = {"depth": 2}
SMALL = {"depth": 2, "embed_dim": 96, "num_heads": 3}


@dataclass(frozen=True)
class Family:
    """Models that attend in the same way.

    Attributes:
        title: what to call it.
        file: timm's file of models.
        model: the representative's name.
        arguments: that make the representative small.
        names: patterns of the members' names.
        why: why some or all of its attention is not shown.
    """

    title: str
    file: str
    model: str
    arguments: Arguments = field(default_factory=dict)
    names: tuple[str, ...] = ("*",)
    why: str = ""


FAMILIES = (
    Family(
        "ViT, differential attention",
        "vision_transformer",
        "vit_dwee_patch16_reg1_gap_256",
        SHALLOW,
        ("vit_dwee*", "vit_dlittle*", "vit_dpwee*"),
        why="a layer subtracts one map from another: the result is signed",
    ),
    Family(
        "ViT, average pooling",
        "vision_transformer",
        "vit_pwee_patch16_reg1_gap_256",
        SHALLOW,
        ("*_gap_*", "vit_base_patch16_rpn_224", "aimv2*"),
    ),
    Family(
        "ViT, attention pooling (SigLIP)",
        "vision_transformer",
        "vit_base_patch16_siglip_224",
        SMALL,
        ("*siglip*", "*_map_*", "*tipsv2*"),
    ),
    Family(
        "ViT with registers (DINOv2, RADIO)",
        "vision_transformer",
        "vit_small_patch14_reg4_dinov2",
        {**SHALLOW, "img_size": 224},
        ("*_reg*", "*radio*"),
    ),
    Family("ViT with a class token", "vision_transformer", "vit_tiny_patch16_224", SHALLOW),
    Family(
        "DINOv3", "eva", "vit_small_patch16_dinov3", SHALLOW, ("*dinov3*", "*lingbot*", "*sapiens*")
    ),
    Family("Perception Encoder", "eva", "vit_pe_core_tiny_patch16_384", SHALLOW, ("vit_pe_core*",)),
    Family(
        "Perception Encoder, spatial and language",
        "eva",
        "vit_pe_spatial_tiny_patch16_512",
        SHALLOW,
        ("vit_pe_*",),
    ),
    Family("ViT with rotary embeddings", "eva", "vit_small_patch16_rope_224", SHALLOW, ("*rope*",)),
    Family("EVA, EVA-02", "eva", "eva02_tiny_patch14_224", SHALLOW),
    Family(
        "DeiT, distilled", "deit", "deit_tiny_distilled_patch16_224", SHALLOW, ("*_distilled_*",)
    ),
    Family("DeiT, DeiT III", "deit", "deit_tiny_patch16_224", SHALLOW),
    Family("BEiT", "beit", "beit_base_patch16_224", SMALL),
    Family(
        "ViT, relative positions, class token",
        "vision_transformer_relpos",
        "vit_relpos_base_patch16_cls_224",
        SMALL,
        ("*_cls*",),
    ),
    Family(
        "ViT, relative positions",
        "vision_transformer_relpos",
        "vit_relpos_small_patch16_224",
        SHALLOW,
    ),
    Family("Hybrid ViT", "vision_transformer_hybrid", "vit_tiny_r_s16_p8_224", {"depth": 2}),
    Family("NaFlexViT", "naflexvit", "naflexvit_base_patch16_gap", {"depth": 2}),
    Family("ViTamin", "vitamin", "vitamin_small_224"),
    Family("Qwen3 vision", "qwen3_vit", "qwen3_vit_88m", {**SHALLOW, "img_size": 256}),
    Family("Gemma 4 vision", "gemma4_vit", "gemma4_vit_167m", {**SHALLOW, "img_size": 240}),
    Family("DeepSeek vision", "deepseek_vit", "deepseek_vit_412m", SHALLOW),
    Family(
        "CaiT",
        "cait",
        "cait_xxs24_224",
        why="its blocks mix the heads’ maps after the softmax: the result is signed",
    ),
    Family("ConViT", "convit", "convit_tiny"),
    Family(
        "VOLO",
        "volo",
        "volo_d1_224",
        why="outlook attention gives each place weights for overlapping windows",
    ),
    Family(
        "TNT", "tnt", "tnt_s_patch16_224", why="inner attention is between the pixels of one patch"
    ),
    Family("CrossViT", "crossvit", "crossvit_tiny_240"),
    Family("PiT, distilled", "pit", "pit_ti_distilled_224", names=("*_distilled_*",)),
    Family("PiT", "pit", "pit_ti_224"),
    Family("Swin", "swin_transformer", "swin_tiny_patch4_window7_224"),
    Family("Swin V2", "swin_transformer_v2", "swinv2_tiny_window8_256"),
    Family("Swin V2, CR", "swin_transformer_v2_cr", "swinv2_cr_tiny_ns_224"),
    Family("CoAtNet", "maxxvit", "coatnet_nano_rw_224", names=("coat*", "test_coatnet")),
    Family("MaxViT, MaxxViT", "maxxvit", "maxvit_pico_rw_256"),
    Family("Hiera", "hiera", "hiera_tiny_224"),
    Family(
        "SAM 2 Hiera",
        "hieradet_sam2",
        "sam2_hiera_tiny",
        {"pretrained_cfg_overlay": {"input_size": (3, 224, 224)}},
    ),
    Family("SAM ViT", "vision_transformer_sam", "samvit_base_patch16_224", SMALL),
    Family(
        "NesT",
        "nest",
        "nest_tiny",
        why="after a level’s first layer the tokens stay in blocks, whose places are not told",
    ),
    Family(
        "GC ViT",
        "gcvit",
        "gcvit_xxtiny",
        why="global queries are made from the whole photo, not from a token",
    ),
    Family("TinyViT", "tiny_vit", "tiny_vit_5m_224"),
    Family("DaViT", "davit", "davit_tiny"),
    Family("Twins-SVT", "twins", "twins_svt_small", names=("*svt*",)),
    Family("Twins-PCPVT", "twins", "twins_pcpvt_small"),
    Family("Visformer", "visformer", "visformer_tiny"),
    Family("PVT v2", "pvt_v2", "pvt_v2_b0"),
    Family("MViT v2", "mvitv2", "mvitv2_tiny"),
    Family("LeViT", "levit", "levit_128s"),
    Family("CAFormer", "metaformer", "caformer_s18", names=("caformer*",)),
    Family("Next-ViT", "nextvit", "nextvit_small"),
    Family("EfficientFormer", "efficientformer", "efficientformer_l1"),
    Family(
        "EfficientFormer V2",
        "efficientformer_v2",
        "efficientformerv2_s0",
        why="its blocks mix the heads’ maps after the softmax: the result is signed",
    ),
    Family("FastViT", "fastvit", "fastvit_sa12", names=("*sa*", "*ma*", "*mci*")),
    Family(
        "MobileViT",
        "mobilevit",
        "mobilevit_xxs",
        names=("mobilevit_*",),
        why="after a block’s first layer the tokens stay unfolded, and their places are not told",
    ),
    Family(
        "MobileViT V2",
        "mobilevit",
        "mobilevitv2_050",
        why="linear attention: a softmax over the tokens, no map between them",
    ),
    Family("MobileNetV4 hybrid", "mobilenetv3", "mobilenetv4_hybrid_medium", names=("*_hybrid_*",)),
    Family("MobileNetV5", "mobilenetv5", "mobilenetv5_base"),
    Family("iFormer", "iformer", "iformer_t"),
    Family("LowFormer", "lowformer", "lowformer_b0"),
    Family("CPUBone", "cpubone", "cpubone_nano"),
    Family(
        "SHViT",
        "shvit",
        "shvit_s1",
        why="values are multiplied with the map’s transpose, which is not recognised",
    ),
    Family(
        "EfficientViT, MSRA",
        "efficientvit_msra",
        "efficientvit_m0",
        why="values are multiplied with the map’s transpose, which is not recognised",
    ),
    Family("XCiT", "xcit", "xcit_nano_12_p16_224", SHALLOW),
    Family(
        "EdgeNeXt", "edgenext", "edgenext_xx_small", why="its attention is between channels only"
    ),
    Family(
        "CoaT",
        "coat",
        "coat_lite_tiny",
        why="factorised attention: a softmax over the tokens, no map between them",
    ),
    Family("CSATv2", "csatv2", "csatv2"),
    Family(
        "CLIP ResNet, attention pooling",
        "byobnet",
        "resnet50_clip",
        names=("resnet*_clip",),
        why="the pooling head also reads the mean of all places, which lies nowhere",
    ),
    Family("BoTNet", "byoanet", "botnet26t_256", names=("*bot*",)),
    Family(
        "HaloNet",
        "byoanet",
        "halonet26t",
        names=("*halo*",),
        why="a block of places looks at a larger one around it: keys overlap",
    ),
    Family(
        "LambdaNet",
        "byoanet",
        "lambda_resnet26t",
        why="a softmax over the tokens makes a summary, no map between them",
    ),
    Family(
        "EfficientViM",
        "efficientvim",
        "efficientvim_m1",
        why="a softmax over the tokens weighs states, no map between them",
    ),
)


def family_of(name: str, file: str) -> Family | None:
    """The family of a model of one of timm's files; None for a model without softmax attention."""
    for family in FAMILIES:
        if family.file == file and any(fnmatchcase(name, pattern) for pattern in family.names):
            return family
    return None


def members(family: Family) -> list[str]:
    """Names of the family's models."""
    return [
        name
        for name in timm.list_models(module=family.file)
        if family_of(name, family.file) is family
    ]


def without_attention() -> dict[str, list[str]]:
    """Names of the models that belong to no family, by timm's file."""
    found = {
        file: [name for name in timm.list_models(module=file) if family_of(name, file) is None]
        for file in timm.list_modules()
    }
    return {file: names for file, names in found.items() if names}


def representative(family: Family) -> nn.Module:
    """The family's small model with random weights, in eval mode."""
    return timm.create_model(family.model, **family.arguments).eval()
