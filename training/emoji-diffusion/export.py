"""Writes the trained networks as ONNX graphs in the folder layout of diffusers' Stable Diffusion export.

Weights are stored small and made float32 when the graph is loaded (the runtime folds these nodes once):
    U-Net                 8 bits, one scale per output channel   initializer -> Cast -> Mul
    the other networks    16 bits                                initializer -> Cast
"""
import json
import shutil

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from networks import FACTOR, LATENT, TEXT_HEADS, TEXT_LAYERS, TEXT_WIDTH, UNET_WIDTHS, VAE_WIDTHS
from sampling import SCHEDULER
from tokenizer import LENGTH

OPSET, SIZE = 16, 64


class TextGraph(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, input_ids):
        hidden = self.net(input_ids)
        return hidden, hidden[:, 0]


def eight_bits(value, axes):
    """float32 -> int8 and the float32 scale that makes it float32 again; one scale where `axes` are reduced."""
    scale = (np.abs(value).max(axes, keepdims=True) / 127).clip(1e-12).astype(np.float32)
    return np.round(value / scale).astype(np.int8), scale


def as_stored(net, bits):
    """The network with its weights rounded as the export stores them, in place."""
    for p in net.parameters():
        if p.dim() > 1 and p.numel() >= 1024:
            value = p.detach().numpy()
            if bits == 16:
                value = value.astype(np.float16).astype(np.float32)
            else:
                integers, scale = eight_bits(value, tuple(range(1, value.ndim)))
                value = integers * scale
            p.data.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return net


def shrink(path, bits):
    """Store the weights of two and more dimensions with `bits` bits; the graph computes in float32 as before."""
    model = onnx.load(path)
    kept, nodes = [], []
    rows = {n.input[1] for n in model.graph.node if n.op_type == "Gemm" and any(a.name == "transB" and a.i for a in n.attribute)}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < 1024:
            kept.append(tensor)
            continue
        small = tensor.name + ".small"
        if bits == 16:
            kept.append(numpy_helper.from_array(value.astype(np.float16), small))
            nodes.append(helper.make_node("Cast", [small], [tensor.name], to=TensorProto.FLOAT))
            continue
        # convolutions and Gemm hold the output channel first; MatMul of exported linear layers holds it last
        first = value.ndim > 2 or tensor.name in rows
        integers, scale = eight_bits(value, tuple(range(1, value.ndim)) if first else (0,))
        kept.append(numpy_helper.from_array(integers, small))
        kept.append(numpy_helper.from_array(scale, tensor.name + ".scale"))
        nodes.append(helper.make_node("Cast", [small], [tensor.name + ".wide"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [tensor.name + ".wide", tensor.name + ".scale"], [tensor.name]))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    body = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + body)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def graph(net, inputs, names, outputs, axes, folder, bits=16):
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / "model.onnx")
    torch.onnx.export(net.float().eval().to(memory_format=torch.contiguous_format), inputs, path, input_names=names,
                      output_names=outputs, dynamic_axes=axes, opset_version=OPSET, do_constant_folding=True)
    shrink(path, bits)


def config(folder, name="config.json", **values):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def write(out, tokenizer, text_encoder, unet, encoder, decoder, scaling, progress=print):
    """The whole folder, beside the old one first, then in its place."""
    final, out = out, out.with_name(out.name + ".part")
    shutil.rmtree(out, ignore_errors=True)
    b, n = {0: "batch_size"}, {0: "batch_size", 1: "sequence_length"}
    at = lambda h, w: {0: "batch_size", 2: h, 3: w}

    tokenizer.save(out / "tokenizer")
    graph(TextGraph(text_encoder), (torch.tensor([tokenizer.encode("a cat"), tokenizer.encode("dog and sun")]),), ["input_ids"],
          ["last_hidden_state", "pooler_output"], {"input_ids": n, "last_hidden_state": n, "pooler_output": b}, out / "text_encoder")
    config(out / "text_encoder", architectures=["CLIPTextModel"], model_type="clip_text_model", dtype="float32",
           vocab_size=len(tokenizer.ids), max_position_embeddings=LENGTH, hidden_size=TEXT_WIDTH, projection_dim=TEXT_WIDTH,
           intermediate_size=2 * TEXT_WIDTH, num_hidden_layers=TEXT_LAYERS, num_attention_heads=TEXT_HEADS, hidden_act="gelu",
           layer_norm_eps=1e-05, bos_token_id=tokenizer.start, eos_token_id=tokenizer.end, pad_token_id=tokenizer.end)

    side = SIZE // FACTOR
    graph(unet, (torch.randn(2, LATENT, side, side), torch.tensor(500.0), torch.randn(2, LENGTH, TEXT_WIDTH)),
          ["sample", "timestep", "encoder_hidden_states"], ["out_sample"],
          {"sample": at("height", "width"), "encoder_hidden_states": n, "out_sample": at("height", "width")}, out / "unet", bits=8)
    config(out / "unet", _class_name="UNet2DConditionModel", _diffusers_version="0.35.2", in_channels=LATENT, out_channels=LATENT,
           sample_size=side, cross_attention_dim=TEXT_WIDTH, block_out_channels=list(UNET_WIDTHS), layers_per_block=2,
           act_fn="silu", norm_num_groups=8, time_cond_proj_dim=None, addition_embed_type=None)

    vae = dict(_class_name="AutoencoderKL", _diffusers_version="0.35.2", in_channels=3, out_channels=3, sample_size=SIZE,
               latent_channels=LATENT, scaling_factor=round(scaling, 6), shift_factor=None, latents_mean=None, latents_std=None,
               block_out_channels=list(VAE_WIDTHS), layers_per_block=2, act_fn="silu", norm_num_groups=8)
    graph(decoder, (torch.randn(2, LATENT, side, side),), ["latent_sample"], ["sample"],
          {"latent_sample": at("latent_height", "latent_width"), "sample": at("height", "width")}, out / "vae_decoder")
    config(out / "vae_decoder", **vae)
    graph(encoder, (torch.randn(2, 3, SIZE, SIZE),), ["sample"], ["latent_parameters"],
          {"sample": at("sample_height", "sample_width"), "latent_parameters": at("latent_height", "latent_width")}, out / "vae_encoder")
    config(out / "vae_encoder", **vae)

    config(out / "scheduler", "scheduler_config.json", **SCHEDULER)
    none = [None, None]
    config(out, "model_index.json", _class_name="StableDiffusionPipeline", _diffusers_version="0.35.2", feature_extractor=none,
           image_encoder=none, requires_safety_checker=False, safety_checker=none, scheduler=["diffusers", "DDIMScheduler"],
           text_encoder=["transformers", "CLIPTextModel"], tokenizer=["transformers", "CLIPTokenizer"],
           unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"])

    old = final.with_name(final.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    out.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    size = sum(f.stat().st_size for f in final.rglob("*") if f.is_file())
    progress(f"exported to {final}: {size / 1e6:.1f} MB")
    if size > 20e6:
        raise SystemExit("the export is larger than 20 MB")
