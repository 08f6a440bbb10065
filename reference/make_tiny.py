# SPDX-License-Identifier: MIT
"""Build the tiny diffusers pipelines that the recordings and the loader tests use.

Usage: make_tiny.py [MODEL...]
Writes reference/tiny/<model>/ and reference/tiny/variants/<name>/.

All weights are random with a fixed seed, scaled so that activations stay near one; norms have
random weights and biases too. The shapes are chosen to be awkward: channel counts that are no
multiple of 16, odd head widths, sizes that do not halve evenly. `wide` is the exception: multiples
of 32 and reductions longer than 384, for the blocked kernels.
"""

import json
import os
import shutil
import sys

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tiny_tokenizer import build_vocabulary, write_hub_files

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "tiny")

SCALED_LINEAR = dict(
    num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
)
# clip_sample is no key of PNDM's, but Stable Diffusion 1.5's file has it; other schedulers made
# from the file obey it.
SD15_SCHEDULER = PNDMScheduler.from_config(
    dict(
        SCALED_LINEAR,
        skip_prk_steps=True,
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
        trained_betas=None,
    )
)
CROSS = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
PLAIN = ("DownBlock2D", "UpBlock2D")
ATTENTION = ("AttnDownBlock2D", "AttnUpBlock2D")


def levels_config(down, up, channels, **config):
    """Block types and channels of each level, from the finest level on."""
    return dict(
        down_block_types=down, up_block_types=list(reversed(up)), block_out_channels=channels, **config
    )


def unet_config(levels, **config):
    """`levels`: a ((down, up), channels) of each."""
    return levels_config(
        [kinds[0] for kinds, _ in levels],
        [kinds[1] for kinds, _ in levels],
        [channels for _, channels in levels],
        **config,
    )


def vae_config(channels, **config):
    """`channels`: of each level."""
    return levels_config(
        ["DownEncoderBlock2D"] * len(channels), ["UpDecoderBlock2D"] * len(channels), channels, **config
    )


def text_config(vocabulary, **config):
    size = len(vocabulary)
    base = dict(
        vocab_size=size,
        max_position_embeddings=77,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        pad_token_id=1,
    )
    return dict(base, **config)


def pipeline_of(width, latents, size, unet, vae, text, **rest):
    """The specification of a pipeline: what its networks share is said once. `width`: of an
    embedding; `latents`: their channels; `size`: of the U-Net's sample, [height, width] or one
    number for both. A network that has its own number says it."""
    side = max(size) if isinstance(size, list) else size
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    ends = dict(in_channels=latents, out_channels=latents)
    return dict(
        unet=dict(dict(ends, cross_attention_dim=width, sample_size=size), **unet),
        vae=dict(dict(latent_channels=latents, sample_size=side * factor), **vae),
        text=dict(text, hidden_size=width),
        **rest,
    )


def models(vocabulary):
    """name -> (U-Net, VAE, text encoder, text encoder's class, scheduler, tokenizer's form and pad
    token)"""
    smallest = micro(vocabulary)
    return {
        # Stable Diffusion 1.x: 1x1-convolution projections, one number of heads, quick_gelu, "eos
        # is the largest id".
        "sd15": pipeline_of(
            width=24,
            latents=4,
            size=8,
            unet=unet_config(
                [(CROSS, 12), (CROSS, 20), (PLAIN, 28)],
                norm_num_groups=4,
                attention_head_dim=4,
                layers_per_block=2,
            ),
            vae=vae_config(
                [8, 12, 16, 20],
                norm_num_groups=4,
                layers_per_block=1,
                scaling_factor=0.18215,
            ),
            text=text_config(
                vocabulary,
                intermediate_size=52,
                num_attention_heads=3,
                num_hidden_layers=3,
                hidden_act="quick_gelu",
                eos_token_id=2,
                bos_token_id=0,
            ),
            text_class=CLIPTextModel,
            scheduler=SD15_SCHEDULER,
            tokenizer="json",
            pad="<|endoftext|>",
        ),
        # Stable Diffusion 2.x: linear projections, a list of heads, deeper transformers,
        # v_prediction, other eos rule.
        "sd21": pipeline_of(
            width=40,
            latents=3,
            size=[6, 10],
            unet=unet_config(
                [(CROSS, 18), (CROSS, 30), (PLAIN, 42)],
                norm_num_groups=6,
                attention_head_dim=[2, 5, 7],
                layers_per_block=[1, 2, 1],
                transformer_layers_per_block=[2, 1, 1],
                use_linear_projection=True,
                upcast_attention=True,
            ),
            vae=vae_config(
                [12, 18, 30],
                norm_num_groups=6,
                layers_per_block=2,
                scaling_factor=0.13025,
            ),
            text=text_config(
                vocabulary,
                intermediate_size=88,
                num_attention_heads=5,
                num_hidden_layers=2,
                hidden_act="gelu",
            ),
            text_class=CLIPTextModel,
            scheduler=DDIMScheduler(
                **SCALED_LINEAR,
                prediction_type="v_prediction",
                steps_offset=1,
                set_alpha_to_one=False,
                clip_sample=False,
            ),
            tokenizer="hub",
            pad="!",
        ),
        # Blocked kernels: multiples of 32, reductions of 576 and 1152, and a VAE with a shift.
        "wide": pipeline_of(
            width=64,
            latents=4,
            size=16,
            unet=unet_config(
                [(CROSS, 32), (PLAIN, 64)],
                norm_num_groups=8,
                attention_head_dim=4,
                layers_per_block=1,
            ),
            vae=vae_config(
                [32, 48],
                norm_num_groups=16,
                layers_per_block=1,
                scaling_factor=0.3611,
                shift_factor=0.1159,
            ),
            text=text_config(
                vocabulary,
                intermediate_size=448,
                num_attention_heads=4,
                num_hidden_layers=2,
                hidden_act="quick_gelu",
            ),
            text_class=CLIPTextModel,
            scheduler=EulerDiscreteScheduler(
                **SCALED_LINEAR, timestep_spacing="leading", steps_offset=1
            ),
            tokenizer="json",
            pad="<|endoftext|>",
        ),
        # What the others do not have: 9 -> 5 channels, attention on every level, other epsilons and
        # frequencies, a projection behind the text encoder, no quant_conv, one level without a
        # downsampler in the VAE.
        "odd": pipeline_of(
            width=28,
            latents=5,
            size=7,
            unet=unet_config(
                [(PLAIN, 10), (CROSS, 30)],
                norm_num_groups=5,
                attention_head_dim=[1, 6],
                layers_per_block=1,
                in_channels=9,
                flip_sin_to_cos=False,
                freq_shift=1,
                norm_eps=1e-6,
            ),
            vae=vae_config(
                [14],
                norm_num_groups=7,
                layers_per_block=1,
                scaling_factor=0.5,
                sample_size=8,
                in_channels=3,
                out_channels=3,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            text=text_config(
                vocabulary,
                intermediate_size=36,
                num_attention_heads=4,
                num_hidden_layers=1,
                hidden_act="gelu",
                projection_dim=18,
                layer_norm_eps=1e-6,
            ),
            text_class=CLIPTextModelWithProjection,
            scheduler=EulerDiscreteScheduler(**SCALED_LINEAR),
            tokenizer="json",
            pad="<|endoftext|>",
        ),
        # Keys that hubs' files hardly use: attention on one side of a level only, self-attention that
        # looks at the text, heads that do not divide the channels, downsampling padded on two sides,
        # a scaled middle, 1x1 convolutions at both ends, a VAE without attention.
        "rare": pipeline_of(
            width=22,
            latents=2,
            size=9,
            unet=unet_config(
                [
                    (("CrossAttnDownBlock2D", "UpBlock2D"), 9),
                    (("DownBlock2D", "CrossAttnUpBlock2D"), 15),
                    (CROSS, 21),
                ],
                norm_num_groups=3,
                attention_head_dim=[2, 4, 4],
                layers_per_block=[2, 1, 1],
                transformer_layers_per_block=[1, 2, 1],
                only_cross_attention=[True, False, True],
                downsample_padding=0,
                mid_block_scale_factor=1.5,
                time_embedding_dim=26,
                conv_in_kernel=1,
                conv_out_kernel=1,
                act_fn="swish",
                out_channels=4,
            ),
            vae=vae_config(
                [6, 3, 9],
                norm_num_groups=3,
                layers_per_block=3,
                mid_block_add_attention=False,
                in_channels=1,
                out_channels=4,
                use_quant_conv=False,
            ),
            text=text_config(
                vocabulary,
                intermediate_size=7,
                num_attention_heads=1,
                num_hidden_layers=4,
                max_position_embeddings=19,
                hidden_act="gelu",
                projection_dim=3,
            ),
            text_class=CLIPTextModelWithProjection,
            scheduler=EulerDiscreteScheduler(**SCALED_LINEAR),
            tokenizer="json",
            pad="!",
        ),
        # A model that was distilled to few steps, the guidance scale among its inputs; saved as the
        # pipeline's class of its own that such models name.
        "lcm": dict(
            smallest,
            unet=dict(smallest["unet"], time_cond_proj_dim=15),
            scheduler=LCMScheduler(),
            pipeline=LatentConsistencyModelPipeline,
        ),
    }


def xl_models(vocabulary):
    """The same of SDXL's kind, with a second text encoder `text_2` and what its index says, `index`."""
    first = text_config(
        vocabulary,
        hidden_size=24,
        intermediate_size=52,
        num_attention_heads=3,
        num_hidden_layers=3,
        hidden_act="quick_gelu",
        eos_token_id=2,
        bos_token_id=0,
    )
    second = text_config(
        vocabulary,
        hidden_size=20,
        intermediate_size=36,
        num_attention_heads=4,
        num_hidden_layers=4,
        hidden_act="gelu",
        projection_dim=14,
    )
    added = dict(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        use_linear_projection=True,
    )
    vae = vae_config([4, 8, 8, 12], norm_num_groups=4, layers_per_block=1, scaling_factor=0.13025)
    base = pipeline_of(
        width=44,
        latents=4,
        size=8,
        unet=unet_config(
            [(PLAIN, 8), (CROSS, 12), (CROSS, 20)],
            norm_num_groups=4,
            attention_head_dim=[2, 3, 5],
            transformer_layers_per_block=[1, 1, 2],
            layers_per_block=1,
            projection_class_embeddings_input_dim=14 + 6 * 8,
            **added,
        ),
        vae=vae,
        text=first,
        text_2=second,
        text_class=CLIPTextModel,
        scheduler=EulerDiscreteScheduler(**SCALED_LINEAR, timestep_spacing="leading", steps_offset=1),
        tokenizer="json",
        pad="<|endoftext|>",
        pipeline=StableDiffusionXLPipeline,
        index=dict(force_zeros_for_empty_prompt=True, add_watermarker=False),
    )
    base["text"]["hidden_size"] = 24
    return {
        # Stable Diffusion XL: two encoders of other widths and activations.
        "xl": base,
        # Its refiner: the second encoder alone, a score in the target's place, attention in the middle.
        "xl-refiner": dict(
            base,
            text=None,
            unet=dict(
                base["unet"],
                **unet_config([(PLAIN, 8), (CROSS, 12), (PLAIN, 20)]),
                transformer_layers_per_block=2,
                cross_attention_dim=20,
                projection_class_embeddings_input_dim=14 + 5 * 8,
            ),
            pipeline=StableDiffusionXLImg2ImgPipeline,
            index=dict(
                requires_aesthetics_score=True,
                force_zeros_for_empty_prompt=False,
                add_watermarker=False,
            ),
        ),
        # What the two do not have: depths of each transformer (as SSD-1B and Vega), no middle, the
        # guidance scale among the inputs (as LCM-SDXL), latents normalised by channel (as Playground
        # 2.5), an empty negative prompt that is encoded.
        "xl-uneven": dict(
            base,
            unet=dict(
                base["unet"],
                layers_per_block=[1, 2, 1],
                transformer_layers_per_block=[0, [1, 2], [2]],
                reverse_transformer_layers_per_block=[[2, 1], [1, 0, 2], 1],
                mid_block_type=None,
                time_cond_proj_dim=15,
            ),
            vae=dict(
                base["vae"],
                latents_mean=[-1.6574, 1.886, -1.383, 2.5155],
                latents_std=[8.4927, 5.9022, 6.5498, 5.2299],
                scaling_factor=0.5,
            ),
            scheduler=LCMScheduler(),
            index=dict(force_zeros_for_empty_prompt=False, add_watermarker=False),
        ),
    }


def micro(vocabulary):
    """The smallest whole pipeline; its weights are exact in float16 and in bfloat16, so all its
    variants must agree."""
    return pipeline_of(
        width=16,
        latents=4,
        size=8,
        unet=unet_config(
            [(CROSS, 8), (PLAIN, 12)],
            norm_num_groups=4,
            attention_head_dim=2,
            layers_per_block=1,
        ),
        vae=vae_config(
            [4, 8],
            norm_num_groups=4,
            layers_per_block=1,
            scaling_factor=0.18215,
        ),
        text=text_config(
            vocabulary,
            intermediate_size=24,
            num_attention_heads=2,
            num_hidden_layers=2,
            hidden_act="quick_gelu",
        ),
        text_class=CLIPTextModel,
        scheduler=SD15_SCHEDULER,
        tokenizer="json",
        pad="<|endoftext|>",
    )


def unconditional():
    """name -> (pipeline, U-Net, scheduler): pictures without a text, in pixel space."""
    return {
        # As hubs hold google/ddpm-*: one head of all channels, sin before cos, padding on two sides.
        "ddpm": (
            DDPMPipeline,
            unet_config(
                [(PLAIN, 8), (ATTENTION, 12), (PLAIN, 16)],
                norm_num_groups=4,
                attention_head_dim=None,
                layers_per_block=1,
                sample_size=8,
                flip_sin_to_cos=False,
                freq_shift=1,
                norm_eps=1e-6,
                downsample_padding=0,
            ),
            DDPMScheduler(),
        ),
        # What that does not have: heads that do not fill the channels, attention on one side of a
        # level only, a scaled middle with groups of its own, a height that is not the width.
        "ddim": (
            DDIMPipeline,
            unet_config(
                [(("AttnDownBlock2D", "UpBlock2D"), 9), (("DownBlock2D", "AttnUpBlock2D"), 15)],
                norm_num_groups=3,
                attn_norm_num_groups=5,
                attention_head_dim=4,
                layers_per_block=2,
                mid_block_scale_factor=1.5,
                time_embedding_dim=26,
                act_fn="swish",
                sample_size=[6, 10],
            ),
            DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"),
        ),
        # Pictures of one channel.
        "grey": (
            DDPMPipeline,
            unet_config(
                [(PLAIN, 4), (ATTENTION, 8)],
                norm_num_groups=2,
                attention_head_dim=4,
                layers_per_block=1,
                sample_size=8,
                in_channels=1,
                out_channels=1,
            ),
            DDPMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        ),
    }


def beside_a_picture(vocabulary):
    """name -> a pipeline whose U-Net sees more than the sample: of a picture its latents, or those
    of what a mask leaves of it, and the mask."""
    smallest = micro(vocabulary)

    def seeing(channels, pipeline):
        return dict(
            smallest, unet=dict(smallest["unet"], in_channels=channels), pipeline=pipeline
        )

    return {
        "inpaint": seeing(9, StableDiffusionInpaintPipeline),
        "instruct": seeing(8, StableDiffusionInstructPix2PixPipeline),
    }


def xl_inpaint():
    """A U-Net of SDXL's kind for inpainting, alone: it goes with the other parts of `xl`."""
    return unet_config(
        [(PLAIN, 4), (CROSS, 8)],
        norm_num_groups=4,
        attention_head_dim=[1, 2],
        transformer_layers_per_block=[1, 1],
        layers_per_block=1,
        in_channels=9,
        out_channels=4,
        cross_attention_dim=44,
        sample_size=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=14 + 6 * 8,
        use_linear_projection=True,
    )


def make_unet(name, config, seed):
    folder = os.path.join(TINY, name)
    shutil.rmtree(folder, ignore_errors=True)
    unet = UNet2DConditionModel(**config).eval()
    randomise(unet, seed)
    unet.save_pretrained(folder)


def autoencoders():
    """name -> an AutoencoderTiny that stands alone, as hubs hold TAESD; their latents are those of
    `sd15` and of `sd21`."""
    return {
        "taesd": dict(
            encoder_block_out_channels=[20] * 4,
            decoder_block_out_channels=[24] * 4,
            num_encoder_blocks=[1, 2, 1, 1],
            num_decoder_blocks=[2, 1, 1, 1],
        ),
        "taegelu": dict(
            latent_channels=3,
            encoder_block_out_channels=[36] * 3,
            decoder_block_out_channels=[36] * 3,
            num_encoder_blocks=[0, 1, 1],
            num_decoder_blocks=[1, 0, 1],
            act_fn="gelu",
            scaling_factor=0.5,
        ),
    }


def randomise(module, seed):
    """Give every parameter a random value of a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)
    norms = (torch.nn.GroupNorm, torch.nn.LayerNorm)
    for child in module.modules():
        for name, parameter in child.named_parameters(recurse=False):
            value = torch.randn(parameter.shape, generator=generator)
            if isinstance(child, norms):
                value = 1 + 0.2 * value if name == "weight" else 0.2 * value
            elif isinstance(child, torch.nn.Embedding):
                value = 0.5 * value
            elif parameter.dim() > 1:
                value = value / (parameter[0].numel() ** 0.5)
            else:
                value = 0.1 * value
            with torch.no_grad():
                parameter.copy_(value)


def make_tokenizer(vocabulary, merges, pad):
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=[tuple(m.split(" ")) for m in merges],
        pad_token=pad,
        model_max_length=77,
    )


def build_xl(spec, seed, vocabulary, merges):
    parts = dict(
        unet=UNet2DConditionModel(**spec["unet"]),
        vae=AutoencoderKL(**spec["vae"]),
        text_encoder=spec["text"] and CLIPTextModel(CLIPTextConfig(**spec["text"])),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**spec["text_2"])),
    )
    for i, part in enumerate(parts.values()):
        if part is not None:
            randomise(part, seed + i)
            part.eval()
    return spec["pipeline"](
        **parts,
        tokenizer=spec["text"] and make_tokenizer(vocabulary, merges, spec["pad"]),
        tokenizer_2=make_tokenizer(vocabulary, merges, "!"),
        scheduler=spec["scheduler"],
        **spec["index"],
    )


def build(spec, seed, vocabulary, merges):
    if "text_2" in spec:
        return build_xl(spec, seed, vocabulary, merges)
    parts = dict(
        unet=UNet2DConditionModel(**spec["unet"]),
        vae=AutoencoderKL(**spec["vae"]),
        text_encoder=spec["text_class"](CLIPTextConfig(**spec["text"])),
    )
    for i, part in enumerate(parts.values()):
        randomise(part, seed + i)
        part.eval()
    return spec.get("pipeline", StableDiffusionPipeline)(
        **parts,
        tokenizer=make_tokenizer(vocabulary, merges, spec["pad"]),
        scheduler=spec["scheduler"],
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def edit_json(path, change):
    with open(path) as f:
        data = json.load(f)
    change(data)
    with open(path, "w") as f:
        json.dump(data, f, indent=2)
        f.write("\n")


def rewrite_tensors(path, change):
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def to_hub_layout(folder, vocabulary, merges, pad):
    """Turn a folder into what hubs hold for Stable Diffusion 1.5: older names, another tokenizer's
    files."""
    write_hub_files(os.path.join(folder, "tokenizer"), vocabulary, merges, pad)

    def old_text(tensors):
        renamed = {k if k.startswith("text_") else "text_model." + k: v for k, v in tensors.items()}
        positions = len(renamed["text_model.embeddings.position_embedding.weight"])
        renamed["text_model.embeddings.position_ids"] = torch.arange(positions)[None].contiguous()
        return renamed

    def old_vae(tensors):
        """Files from before diffusers 0.15 name the attention's parts otherwise."""
        names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        renamed = {}
        for key, value in tensors.items():
            for new, old in names.items():
                key = key.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
            renamed[key] = value
        return renamed

    rewrite_tensors(os.path.join(folder, "text_encoder/model.safetensors"), old_text)
    rewrite_tensors(os.path.join(folder, "vae/diffusion_pytorch_model.safetensors"), old_vae)
    edit_json(
        os.path.join(folder, "text_encoder/config.json"),
        lambda c: c.update(architectures=["CLIPTextModel"], model_type="clip_text_model"),
    )


def make(name, spec, seed, vocabulary, merges):
    folder = os.path.join(TINY, name)
    shutil.rmtree(folder, ignore_errors=True)
    build(spec, seed, vocabulary, merges).save_pretrained(folder)
    if spec["tokenizer"] == "hub":
        write_hub_files(os.path.join(folder, "tokenizer"), vocabulary, merges, spec["pad"])


def make_unconditional(name, pipeline, config, scheduler, seed):
    folder = os.path.join(TINY, name)
    shutil.rmtree(folder, ignore_errors=True)
    unet = UNet2DModel(**config).eval()
    randomise(unet, seed)
    pipeline(unet=unet, scheduler=scheduler).save_pretrained(folder)


def make_autoencoder(name, config, seed):
    folder = os.path.join(TINY, name)
    shutil.rmtree(folder, ignore_errors=True)
    vae = AutoencoderTiny(**config).eval()
    randomise(vae, seed)
    vae.save_pretrained(folder)


def make_variants(vocabulary, merges):
    spec = micro(vocabulary)
    pipeline = build(spec, 900, vocabulary, merges)
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        for parameter in part.parameters():
            coarse = torch.where(parameter.abs() < 2.0**-14, 0.0, parameter.detach()).to(
                torch.bfloat16
            )
            parameter.data = coarse.float()
    root = os.path.join(TINY, "variants")
    shutil.rmtree(root, ignore_errors=True)
    pipeline.save_pretrained(os.path.join(root, "base"))
    pipeline.save_pretrained(os.path.join(root, "hub"))
    to_hub_layout(os.path.join(root, "hub"), vocabulary, merges, spec["pad"])
    pipeline.save_pretrained(os.path.join(root, "sharded"), max_shard_size="60KB")
    pipeline.to(torch.float16).save_pretrained(os.path.join(root, "fp16"), variant="fp16")
    pipeline.to(torch.bfloat16).save_pretrained(os.path.join(root, "bf16"))


def main():
    torch.set_num_threads(1)
    vocabulary, merges = build_vocabulary()
    specs = models(vocabulary)
    plain = unconditional()
    alone = autoencoders()
    xl = xl_models(vocabulary)
    seeing = beside_a_picture(vocabulary)
    wanted = sys.argv[1:] or [*specs, *xl, *plain, *alone, *seeing, "xl-inpaint", "variants"]
    for index, (name, spec) in enumerate(specs.items()):
        if name in wanted:
            make(name, spec, 100 * (index + 1), vocabulary, merges)
    for index, (name, spec) in enumerate(plain.items()):
        if name in wanted:
            make_unconditional(name, *spec, 100 * (len(specs) + index + 1))
    for index, (name, spec) in enumerate(xl.items()):
        if name in wanted:
            make(name, spec, 3000 + 100 * index, vocabulary, merges)
    for index, (name, config) in enumerate(alone.items()):
        if name in wanted:
            make_autoencoder(name, config, 2000 + 100 * index)
    for index, (name, spec) in enumerate(seeing.items()):
        if name in wanted:
            make(name, spec, 3000 + 100 * index, vocabulary, merges)
    if "xl-inpaint" in wanted:
        make_unet("xl-inpaint", xl_inpaint(), 3200)
    if "variants" in wanted:
        make_variants(vocabulary, merges)


if __name__ == "__main__":
    main()
