"""Architectures of the package `transformers`, small, from configuration alone."""

from __future__ import annotations

from typing import Any

import transformers
from recipes import Input, Recipe, Tensors
from torch import nn

_IMAGE = (Input(name="pixel_values", shape=(3, 64, 64)),)
_TOKENS = (
    Input(name="input_ids", shape=(16,), below=100),
    Input(name="attention_mask", shape=(16,), below=2),
)
_TEXT: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 40,
}
_PATCHES: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
_LLAMA = _TEXT | {"num_key_value_heads": 2, "use_cache": False}
_RESNET: dict[str, Any] = {
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [2, 2, 2, 2],
}
_SPEECH: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": [32, 32, 32],
    "conv_stride": [5, 2, 2],
    "conv_kernel": [10, 3, 3],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 32,
    "layerdrop": 0.0,
}


def recipes() -> tuple[Recipe, ...]:
    """Return the architectures."""
    return (*_convolutional(), *_vision_transformers(), *_language(), *_speech(), *_detection())


def _classifier(name: str, model: str, **settings: Any) -> Recipe:
    kind = f"{model}ForImageClassification"
    return _recipe(name, kind, _IMAGE, ("logits",), settings)


def _recipe(
    name: str,
    model: str,
    inputs: tuple[Input, ...],
    outputs: tuple[str, ...],
    settings: dict[str, Any],
) -> Recipe:
    def build() -> nn.Module:
        kind = getattr(transformers, model)
        network = kind(kind.config_class(**settings))
        return Tensors(network, tuple(spec.name for spec in inputs), outputs)

    return Recipe(name=name, build=build, inputs=inputs)


def _convolutional() -> tuple[Recipe, ...]:
    four = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}
    return (
        _classifier("resnet_basic", "ResNet", layer_type="basic", **_RESNET),
        _classifier("resnet_bottleneck", "ResNet", layer_type="bottleneck", **_RESNET),
        _classifier("regnet_x", "RegNet", layer_type="x", groups_width=8, **_RESNET),
        _classifier("regnet_y", "RegNet", layer_type="y", groups_width=8, **_RESNET),
        _classifier("convnext", "ConvNext", **four),
        _classifier("convnextv2", "ConvNextV2", **four),
        _classifier(
            "efficientnet",
            "EfficientNet",
            width_coefficient=0.5,
            depth_coefficient=0.5,
            hidden_dim=640,
        ),
        _classifier("mobilenet_v1", "MobileNetV1", depth_multiplier=0.25, tf_padding=False),
        _classifier(
            "mobilenet_v2", "MobileNetV2", depth_multiplier=0.5, tf_padding=False, num_labels=50
        ),
        _classifier("mobilenet_v2_tf", "MobileNetV2", depth_multiplier=0.35, tf_padding=True),
        _classifier("poolformer", "PoolFormer", **four),
        _classifier("focalnet", "FocalNet", image_size=64, embed_dim=32, depths=[1, 1, 2, 1]),
        _classifier("bit", "Bit", layer_type="preactivation", num_groups=8, **_RESNET),
        _classifier(
            "hgnet_v2",
            "HGNetV2",
            embedding_size=24,
            stem_channels=[3, 16, 24],
            stage_in_channels=[24, 32, 48, 64],
            stage_mid_channels=[8, 16, 24, 32],
            stage_out_channels=[32, 48, 64, 96],
            stage_num_blocks=[1, 1, 2, 1],
            stage_numb_of_layers=[3, 3, 3, 3],
            hidden_sizes=[32, 48, 64, 96],
        ),
    )


def _vision_transformers() -> tuple[Recipe, ...]:
    pyramid: dict[str, Any] = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}
    return (
        _classifier("vit", "ViT", **_PATCHES),
        _classifier("deit", "DeiT", **_PATCHES),
        _classifier("beit", "Beit", use_relative_position_bias=True, **_PATCHES),
        _classifier("dinov2", "Dinov2", mlp_ratio=2, **_PATCHES),
        _classifier("hiera", "Hiera", image_size=[64, 64], embed_dim=32, depths=[1, 1, 2, 1]),
        _classifier(
            "swin",
            "Swin",
            image_size=64,
            embed_dim=32,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
        ),
        _classifier(
            "swin_v2",
            "Swinv2",
            image_size=64,
            embed_dim=32,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
        ),
        _classifier(
            "mobilevit",
            "MobileViT",
            image_size=64,
            hidden_sizes=[32, 48, 64],
            neck_hidden_sizes=[8, 16, 16, 24, 32, 40, 80],
        ),
        _classifier("mobilevit_v2", "MobileViTV2", image_size=64, width_multiplier=0.25),
        _classifier(
            "levit",
            "Levit",
            image_size=64,
            hidden_sizes=[32, 48, 64],
            num_attention_heads=[2, 3, 4],
            depths=[2, 2, 2],
            key_dim=[16, 16, 16],
        ),
        _classifier("cvt", "Cvt", embed_dim=[16, 32, 64], num_heads=[1, 2, 4], depth=[1, 2, 3]),
        _classifier("pvt_v2", "PvtV2", image_size=64, num_attention_heads=[1, 2, 4, 8], **pyramid),
        _classifier("swiftformer", "SwiftFormer", embed_dims=[16, 32, 48, 64], depths=[1, 1, 2, 1]),
        _recipe(
            "segformer",
            "SegformerForSemanticSegmentation",
            _IMAGE,
            ("logits",),
            {
                "hidden_sizes": [16, 32, 48, 64],
                "depths": [1, 1, 1, 1],
                "num_attention_heads": [1, 2, 3, 4],
                "decoder_hidden_size": 64,
            },
        ),
        _recipe(
            "clip_vision",
            "CLIPVisionModel",
            _IMAGE,
            ("pooler_output",),
            _PATCHES,
        ),
    )


def _language() -> tuple[Recipe, ...]:
    hidden = ("last_hidden_state",)
    distil = {"vocab_size": 100, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
    gpt = {"vocab_size": 100, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 40}
    return (
        _recipe("bert", "BertForSequenceClassification", _TOKENS, ("logits",), _TEXT),
        _recipe("distilbert", "DistilBertModel", _TOKENS, hidden, distil),
        _recipe("roberta", "RobertaForMaskedLM", _TOKENS, ("logits",), _TEXT),
        _recipe("electra", "ElectraModel", _TOKENS, hidden, _TEXT | {"embedding_size": 32}),
        _recipe("albert", "AlbertModel", _TOKENS, hidden, _TEXT | {"embedding_size": 32}),
        _recipe(
            "squeezebert",
            "SqueezeBertModel",
            _TOKENS,
            hidden,
            _TEXT | {"embedding_size": 64},
        ),
        _recipe("gpt2", "GPT2LMHeadModel", _TOKENS, ("logits",), gpt | {"use_cache": False}),
        _recipe("llama", "LlamaForCausalLM", _TOKENS, ("logits",), _LLAMA),
        _recipe("qwen2", "Qwen2Model", _TOKENS, hidden, _LLAMA),
    )


def _speech() -> tuple[Recipe, ...]:
    sound = (Input(name="input_values", shape=(1600,)),)
    mel = (Input(name="input_features", shape=(20, 64)),)
    spectrogram = (Input(name="input_values", shape=(64, 32)),)
    whisper = {
        "vocab_size": 100,
        "num_mel_bins": 20,
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "decoder_layers": 1,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 128,
        "max_source_positions": 32,
        "pad_token_id": 0,
    }
    patches = _PATCHES | {"max_length": 64, "num_mel_bins": 32}
    del patches["image_size"]
    return (
        _recipe("wav2vec2", "Wav2Vec2ForCTC", sound, ("logits",), _SPEECH),
        _recipe("hubert", "HubertModel", sound, ("last_hidden_state",), _SPEECH),
        Recipe(name="whisper_encoder", build=lambda: _whisper(whisper, mel), inputs=mel),
        _recipe("ast", "ASTForAudioClassification", spectrogram, ("logits",), patches),
    )


def _whisper(settings: dict[str, Any], inputs: tuple[Input, ...]) -> nn.Module:
    model = transformers.WhisperModel(transformers.WhisperConfig(**settings))
    return Tensors(model.get_encoder(), tuple(spec.name for spec in inputs), ("last_hidden_state",))


def _detection() -> tuple[Recipe, ...]:
    boxes = ("logits", "pred_boxes")
    backbone = transformers.ResNetConfig(layer_type="basic", out_features=["stage4"], **_RESNET)
    detr = {
        "backbone_config": backbone,
        "d_model": 64,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "num_queries": 10,
    }
    yolos = _PATCHES | {"image_size": [64, 64], "num_detection_tokens": 10}
    return (
        _recipe("detr", "DetrForObjectDetection", _IMAGE, boxes, detr),
        _recipe("yolos", "YolosForObjectDetection", _IMAGE, boxes, yolos),
    )
