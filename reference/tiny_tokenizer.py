# SPDX-License-Identifier: MIT
"""A small CLIP-style byte-pair vocabulary, trained here on a few sentences, and its files as hubs
hold them."""

import json
import os
from collections import Counter

import regex

# CLIP's split; the text below is already lower case and composed.
SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
MERGES = 246
TEXT = """
a lighthouse at sunset. a lighthouse by the sea at night, with stars over the water! a small house
on a hill in the rain. a red boat on the left, a blue boat on the right; the sun is setting behind
the mountains. it's a picture of a tree that doesn't stand alone, we've seen it, they're there, i'm
here, you'll see, i'd say. a painting of a cat in the style of an old master, oil on canvas, highly
detailed, sharp focus, 4k, 8k, trending... a photo of an astronaut riding a horse on mars. a
photograph of the castle in the fog, dawn, soft light, wide angle. the castle in the snow at noon.
two windmills in a field of flowers under a cloudy sky. no people, no text, blurry, low quality, bad
anatomy, watermark, cropped, worst quality. an der straße steht ein grünes haus. le café naïf est
fermé l'été. маяк на закате, маяк у моря. ο φάρος στο ηλιοβασίλεμα. 夕日の灯台。日落时的灯塔。 🌅 🏠 ❤️ !!! ... ---
?!
"""


def byte_characters():
    """CLIP's printable stand-in for each byte, in vocabulary order: byte -> character."""
    kept = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    table = {b: chr(b) for b in kept}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(kept))
    return table


def build_vocabulary():
    """Return ({token: id}, ["left right", ...]): 256 characters, 256 at a word's end, merges, two
    special tokens."""
    characters = byte_characters()
    words = Counter()
    for word in SPLIT.findall(TEXT):
        letters = [characters[b] for b in word.encode("utf-8")]
        words[tuple(letters[:-1] + [letters[-1] + "</w>"])] += 1
    merges = []
    while len(merges) < MERGES:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(" ".join(best))
        merged = Counter()
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            merged[tuple(out)] += count
        words = merged
    tokens = list(characters.values())
    tokens += [t + "</w>" for t in tokens] + [m.replace(" ", "") for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def write_hub_files(folder, vocabulary, merges, pad):
    """Write vocab.json, merges.txt and the two small files beside them, and nothing else, into
    `folder`."""
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))

    def special(content):
        return {
            "content": content,
            "lstrip": False,
            "normalized": True,
            "rstrip": False,
            "single_word": False,
        }

    start, end = special("<|startoftext|>"), special("<|endoftext|>")
    config = {
        "add_prefix_space": False,
        "bos_token": dict(start, __type="AddedToken"),
        "do_lower_case": True,
        "eos_token": dict(end, __type="AddedToken"),
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": pad,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": dict(end, __type="AddedToken"),
    }
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump(vocabulary, f, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump(config, f, indent=2)
    with open(os.path.join(folder, "special_tokens_map.json"), "w") as f:
        json.dump(
            {"bos_token": start, "eos_token": end, "pad_token": pad, "unk_token": end}, f, indent=2
        )
