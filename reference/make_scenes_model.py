# SPDX-License-Identifier: MIT
"""The shapes of the small text-to-picture model of reference/models/scenes: a diffusers folder of
configurations and a tokenizer, without weights. `tintype train --config` starts from it.

    python make_scenes_model.py FOLDER
"""
import glob
import json
import os
import sys

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import scenes
from tiny_tokenizer import byte_characters

TOKENS = 32
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


# ---------------------------------------------------------------- tokenizer

def learn_bpe():
    """Vocabulary and merges that make every caption word one token."""
    rng, words = scenes.Random(1), {}
    for seed in range(20000):
        for word in scenes.caption(scenes.scene_of(seed), rng).replace(",", " ,").split():
            words[word] = words.get(word, 0) + 1
    letters = list(byte_characters().values())
    vocab = letters + [c + "</w>" for c in letters]
    parts = {w: (*w[:-1], w[-1] + "</w>") for w in words}
    merges = []
    while True:
        pairs = {}
        for w, p in parts.items():
            for pair in zip(p, p[1:]):
                pairs[pair] = pairs.get(pair, 0) + words[w]
        if not pairs:
            break
        best = min(pairs, key=lambda k: (-pairs[k], k))
        merges.append(best)
        joined = best[0] + best[1]
        if joined not in vocab:
            vocab.append(joined)
        for w, p in parts.items():
            out, i = [], 0
            while i < len(p):
                if p[i:i + 2] == best:
                    out.append(joined)
                    i += 2
                else:
                    out.append(p[i])
                    i += 1
            parts[w] = tuple(out)
    vocab += [BOS, EOS]
    return {token: i for i, token in enumerate(vocab)}, merges


def make_tokenizer():
    vocab, merges = learn_bpe()
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKENS)


def save_tokenizer(tokenizer, folder):
    """tokenizer.json as transformers writes it, and the older pair of files beside it."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump(model["vocab"], f, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n")
        for m in model["merges"]:
            f.write((m if isinstance(m, str) else " ".join(m)) + "\n")
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS}
    with open(os.path.join(folder, "special_tokens_map.json"), "w", encoding="utf-8") as f:
        json.dump(special, f, indent=2)


# ---------------------------------------------------------------- networks

def make_vae():
    return AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(16, 32, 64, 96),
        layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=128)


def make_unet():
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128, attention_head_dim=4, norm_num_groups=16)


def make_text_encoder(tokenizer):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=TOKENS, hidden_act="quick_gelu",
        projection_dim=128, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def make_scheduler():
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                         num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=False,
                         steps_offset=1, prediction_type="v_prediction",
                         timestep_spacing="leading")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder, tokenizer = sys.argv[1], make_tokenizer()
    StableDiffusionPipeline(
        vae=make_vae(), text_encoder=make_text_encoder(tokenizer), tokenizer=tokenizer,
        unet=make_unet(), scheduler=make_scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False).save_pretrained(folder)
    for weights in glob.glob(os.path.join(folder, "*", "*.safetensors")):
        os.remove(weights)
    save_tokenizer(tokenizer, os.path.join(folder, "tokenizer"))


if __name__ == "__main__":
    main()
