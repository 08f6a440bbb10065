# SPDX-License-Identifier: MIT
"""Write reference/words/: what compel makes of prompts, the embeddings that it and diffusers give
on tiny pipelines, and embeddings by the rules of stable-diffusion-webui, each in float32 and
float64.

Usage: record_words.py
"""

import json
import os

import torch
from compel import Compel, DiffusersTextualInversionManager, ReturnedEmbeddingsType
from compel.prompt_parser import Blend, PromptParser
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

from common import HERE, versions

OUT = os.path.join(HERE, "words")
LONG = "a red fox runs over the hill, " * 9 + "then it sleeps. " + "snow and wind in the north " * 8

# ---- parsing ----

PARSED = [
    "a red fox", "", "   ", "a red++ fox", "a red-- fox", "a (red fox)++ runs", "a (red fox)1.5 runs",
    "a (red fox)0.3 runs", "a (red (fox)1.2)0.5", '"red fox"+ runs', 'a "red fox"1.3', "(red)+ (fox)+",
    "red+ fox+", "c++ and c-", "one - two", "well-known fox", "(one - two)1.2", "(a \\(red\\) fox)1.1",
    "a \\(red\\) fox", 'a \\"red\\" fox', "(red.attend(1.4)) fox", "red.attend(+) fox", "fox .attend(--)",
    "(a, b.c)1.2", "a,b ,c", "red fox)", "(red fox", "((red) fox", "a (red)1.2.3", "(red)+1.2", "(red)-0.5",
    '("a fox", "a hen").blend(1, 0.5)', '("a fox", "a hen").blend(1, 1, no_normalize)',
    '("a fox+", "(a hen)0.5").blend(0.7, 0.3)', '("a fox", "a hen").blend()', '(fox, hen).blend(1, 2)',
    '("a fox", "a hen").and()', '("a fox", "a hen").and(1, 0.5)', '("a (fox", "a hen)").and()',
    '("a fox++", "a hen").add(0.3, 1.2)', '(a fox, a hen).and()', '("", "a hen").and()',
    '("a fox", "a hen").blend(1)', '("a fox", "a hen").and(1, two)', '("a fox").and() runs',
    '("a fox", "a hen").blend(1, 1) runs', "fox.swap(hen)", "a fox withLora(red, 0.5)", "()", '("a").and(1e3)',
    'a "fox\\" runs', 'a "fox\nruns"+', "élan+ vital", "a fox--, runs",
]


def flat(prompt):
    return [[fragment.text, fragment.weight] for fragment in prompt.children]


def parse(text):
    """The parts of a prompt, or None where compel fails, or does what cannot be done here."""
    try:
        found = PromptParser().parse_conjunction(text)
    except Exception:  # of many kinds
        return None
    parts = []
    for prompt, weight in zip(found.prompts, found.weights):
        if isinstance(prompt, Blend):
            texts, shares = [flat(each) for each in prompt.prompts], prompt.weights
            parts.append({"texts": texts, "shares": shares, "normalize": prompt.normalize_weights, "weight": weight})
        elif prompt.wants_cross_attention_control:
            return None
        else:
            parts.append({"texts": [flat(prompt)], "shares": [1.0], "normalize": False, "weight": weight})
    return None if found.lora_weights or text.endswith("runs") and ".and()" in text else parts or None


# ---- embeddings ----


def hidden(encoder, ids, skip, xl):
    """The hidden state that so many layers are skipped for; behind the final norm, or as SDXL has it."""
    out = encoder(ids, output_hidden_states=True)
    if xl:
        return out.hidden_states[-(skip + 2)]
    return out.last_hidden_state if not skip else encoder.final_layer_norm(out.hidden_states[-(skip + 1)])


class Webui:
    """The rules of stable-diffusion-webui 1.10 on fragments that are taken apart already:
    modules/sd_hijack_clip.py (chunks of 75 tokens, commas, BREAK) and modules/sd_emphasis.py
    (the class that is called Original)."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.start, self.end, self.pad = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id,
                                          self.tokenizer.pad_token_id)

    def ids(self, text):
        return self.tokenizer(text, truncation=False, add_special_tokens=False)["input_ids"]

    def chunks(self, fragments):
        done, ids, weights, comma = [], [], [], None
        comma_id = self.tokenizer.get_vocab().get(",</w>")

        def close(count):
            nonlocal ids, weights, comma
            row = [self.start] + ids[:count] + [self.end] * (76 - count)
            if self.pad != self.end:
                first = row.index(self.end)
                row = row[: first + 1] + [self.pad] * (76 - first)
            done.append((row, [1.0] + weights[:count] + [1.0] * (76 - count)))
            ids, weights, comma = ids[count:], weights[count:], None

        for text, weight in fragments:
            if text == "BREAK" and weight == -1:
                close(len(ids))
                continue
            for token in self.ids(text):
                if token == comma_id:
                    comma = len(ids)
                elif len(ids) == 75 and comma is not None and 75 - comma <= 20:
                    close(comma + 1)
                if len(ids) == 75:
                    close(75)
                ids.append(token)
                weights.append(weight)
        if ids or not done:
            close(len(ids))
        return done

    def embed(self, encoder, fragments, skip, xl=False):
        rows = []
        for ids, weights in self.chunks(fragments):
            z = hidden(encoder, torch.tensor([ids]), skip, xl)
            mean = z.mean()
            z = z * torch.tensor(weights, dtype=z.dtype)[None, :, None]
            rows.append(z * (mean / z.mean()))
        return torch.cat(rows, dim=1)[0]


WEBUI = [  # taken apart by hand, so that a wrong parser cannot hide
    ("a red fox", [["a red fox", 1.0]], 0),
    ("a (red:1.4) fox, [old]", [["a ", 1.0], ["red", 1.4], [" fox, ", 1.0], ["old", 1 / 1.1]], 0),
    ("(a fox:0.2) BREAK (a hen)", [["a fox", 0.2], ["", 1.0], ["BREAK", -1], ["", 1.0], ["a hen", 1.1]], 1),
    (LONG, [[LONG, 1.0]], 0),
    ("(" + LONG + ":1.2)", [[LONG, 1.2]], 0),
    ("fox " * 40 + ", hen " * 3 + "(hill " * 1 + "wolf" * 30 + ")",
     [["fox " * 40 + ", hen " * 3, 1.0], ["hill " + "wolf" * 30, 1.1]], 0),
    ("", [["", 1.0]], 0),
]

COMPEL = [
    ("a red fox", 0), ("a red+++ fox", 0), ("a (red fox)1.5 runs", 1), ("a (red)0.4 fox", 0),
    ("(a)0.5 (red)0.0 (fox)1.3 runs--", 0), ('("a fox", "a (hen)0.5").blend(0.7, 0.3)', 0),
    ('("a fox", "a hen").blend(1, -0.4, no_normalize)', 0), ('("a fox", "a hen++").and(1, 0.5)', 0),
    (LONG, 0), ("(" + LONG.replace(",", "") + ")1.1 (old)0.7 hill", 0), ("(a fox, " * 1 + LONG + ")0.8", 0),
    ("snow " * 90, 0), ("", 0), ('("' + LONG + '", "a hen").blend(0.5, 0.5)', 0),
]

PLAIN = [("a red fox", 1), ("a <fox-toy> on a hill", 0), ("<fox-toy> <one-word>", 1), ("red<FOX-TOY>fox", 0)]
INVERTED = [("a <fox-toy>++ on a hill", 0), ("a (<fox-toy> hen)0.5 <one-word>", 0)]


def both_precisions(call, encoder):
    """What it gives in float64, and how far it is from that in float32."""
    single = call(encoder.float())
    double = call(encoder.double())
    encoder.float()
    return double.contiguous(), (single.double() - double).abs().max().item()


def compel_call(pipe, text, skip, manager=None):
    kind = (ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NORMALIZED if skip
            else ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED)

    def call(encoder):
        compel = Compel(tokenizer=pipe.tokenizer, text_encoder=encoder, truncate_long_prompts=False,
                        returned_embeddings_type=kind, textual_inversion_manager=manager,
                        dtype_for_device_getter=lambda device: encoder.dtype)
        return compel(text)[0]

    return call


def plain_call(pipe, text, skip):
    def call(encoder):
        pipe.text_encoder = encoder
        return pipe.encode_prompt(text, "cpu", 1, False, clip_skip=skip or None)[0][0]

    return call


def record(name):
    pipe = StableDiffusionPipeline.from_pretrained(os.path.join(HERE, "tiny", name), torch_dtype=torch.float32)
    encoder = pipe.text_encoder
    encoder.__dict__["text_model"] = encoder  # as older transformers, and so compel, have it
    cases, tensors = [], {}

    def add(syntax, text, skip, call, inverted=False):
        with torch.no_grad():
            values, error = both_precisions(call, encoder)
        tensors[f"{len(cases)}"] = values
        cases.append({"syntax": syntax, "prompt": text, "clip_skip": skip, "inverted": inverted, "error": error})

    webui = Webui(pipe.tokenizer)
    # Long ones once: their arithmetic is that of the others.
    short = [text for text, *_ in WEBUI + COMPEL if name == "sd15" or len(text) < 300]
    for text, fragments, skip in (case for case in WEBUI if case[0] in short):
        add("webui", text, skip, lambda encoder: webui.embed(encoder, fragments, skip))
    for text, skip in (case for case in COMPEL if case[0] in short):
        add("compel", text, skip, compel_call(pipe, text, skip))
    width = encoder.config.hidden_size
    generator = torch.Generator().manual_seed(19)
    toy = torch.randn(3, width, generator=generator)
    word = torch.randn(width, generator=generator)
    save_file({"<fox-toy>": toy}, os.path.join(OUT, f"{name}-toy.safetensors"))
    save_file({"emb_params": word[None]}, os.path.join(OUT, f"{name}-word.safetensors"))
    for skip in (0, 1):
        add("plain", "a red fox", skip, plain_call(pipe, "a red fox", skip))
    pipe.load_textual_inversion(os.path.join(OUT, f"{name}-toy.safetensors"))
    pipe.load_textual_inversion({"<one-word>": word})
    for text, skip in PLAIN:
        add("plain", text, skip, plain_call(pipe, text, skip), True)
    manager = DiffusersTextualInversionManager(pipe)
    for text, skip in INVERTED:
        add("compel", text, skip, compel_call(pipe, text, skip, manager), True)
    save_file(tensors, os.path.join(OUT, f"{name}.safetensors"))
    write_cases(name, cases)


def record_xl():
    """The same on SDXL's two encoders: embeddings side by side, and behind them the pooled ones."""
    pipe = StableDiffusionXLPipeline.from_pretrained(os.path.join(HERE, "tiny", "xl"), torch_dtype=torch.float32)
    encoders = torch.nn.ModuleList([pipe.text_encoder, pipe.text_encoder_2])
    tokenizers = [pipe.tokenizer, pipe.tokenizer_2]
    cases, tensors = [], {}

    def add(syntax, text, skip, call, inverted=False):
        with torch.no_grad():
            values, error = both_precisions(call, encoders)
        tensors[f"{len(cases)}"] = values
        cases.append({"syntax": syntax, "prompt": text, "clip_skip": skip, "inverted": inverted, "error": error})

    def flat_pair(rows, pooled):
        return torch.cat([torch.cat(rows, dim=-1).flatten(), pooled.flatten()])

    def webui_call(fragments, skip):
        def call(both):
            rows = [Webui(t).embed(e, fragments, skip, True) for t, e in zip(tokenizers, both)]
            first = Webui(tokenizers[1]).chunks(fragments)[0][0]
            return flat_pair(rows, both[1](torch.tensor([first])).text_embeds)

        return call

    def compel_xl(text):
        def call(both):
            kind = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
            made = [Compel(tokenizer=t, text_encoder=e, truncate_long_prompts=False, returned_embeddings_type=kind,
                           requires_pooled=i == 1, dtype_for_device_getter=lambda device: e.dtype)
                    for i, (t, e) in enumerate(zip(tokenizers, both))]
            second, pooled = made[1](text)
            return flat_pair([made[0](text)[0], second[0]], pooled)

        return call

    def plain_xl(text, skip):
        def call(both):
            pipe.text_encoder, pipe.text_encoder_2 = both[0], both[1]
            rows, _, pooled, _ = pipe.encode_prompt(text, device="cpu", num_images_per_prompt=1,
                                                    do_classifier_free_guidance=False, clip_skip=skip or None)
            return flat_pair([rows[0]], pooled)

        return call

    for text, fragments, skip in WEBUI[:3] + WEBUI[3:4]:
        add("webui", text, skip, webui_call(fragments, skip))
    for text, skip in (case for case in COMPEL if ".and" not in case[0] and not case[1] and len(case[0]) < 400):
        add("compel", text, skip, compel_xl(text))
    generator = torch.Generator().manual_seed(20)
    pair = {name: torch.randn(2, e.config.hidden_size, generator=generator)
            for name, e in zip(("clip_l", "clip_g"), encoders)}
    save_file(pair, os.path.join(OUT, "xl-pair.safetensors"))
    for skip in (0, 1):
        add("plain", "a red fox", skip, plain_xl("a red fox", skip))
    for vectors, tokenizer, encoder in zip(pair.values(), tokenizers, encoders):
        pipe.load_textual_inversion(vectors, token="<fox-pair>", text_encoder=encoder, tokenizer=tokenizer)
    add("plain", "a <fox-pair> on a hill", 0, plain_xl("a <fox-pair> on a hill", 0), True)
    save_file(tensors, os.path.join(OUT, "xl.safetensors"))
    write_cases("xl", cases)


RUNS = [
    ("webui", LONG, "bad", [[LONG, 1.0]], [["bad", 1.0]]),
    ("webui", "a (red:1.3) fox", "[bad] " + LONG, [["a ", 1.0], ["red", 1.3], [" fox", 1.0]],
     [["bad", 1 / 1.1], [" " + LONG, 1.0]]),
    ("compel", "a red++ fox, (snow)0.6", LONG, None, None),
    ("compel", '("a fox", "a hen--").and()', "bad-", None, None),
]


def record_runs():
    """Final latents of a tiny pipeline that attends to several chunks."""
    pipe = StableDiffusionPipeline.from_pretrained(os.path.join(HERE, "tiny", "sd15"), torch_dtype=torch.float32)
    webui, cases, tensors = Webui(pipe.tokenizer), [], {}
    compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, truncate_long_prompts=False)
    for i, (syntax, text, negative, *fragments) in enumerate(RUNS):
        with torch.no_grad():
            if syntax == "webui":
                pair = [webui.embed(pipe.text_encoder, each, 0)[None] for each in fragments]
                empty = webui.embed(pipe.text_encoder, [["", 1.0]], 0)[None]
                longest = max(each.shape[1] for each in pair)
                pair = [torch.cat([each] + [empty] * ((longest - each.shape[1]) // 77), dim=1) for each in pair]
            else:
                pair = compel.pad_conditioning_tensors_to_same_length([compel(text), compel(negative)])
            latents = pipe(prompt_embeds=pair[0], negative_prompt_embeds=pair[1], num_inference_steps=4, height=32,
                           width=48, generator=torch.Generator().manual_seed(5), output_type="latent").images
        tensors[f"{i}"] = latents[0].contiguous()
        cases.append({"syntax": syntax, "prompt": text, "negative": negative})
    save_file(tensors, os.path.join(OUT, "runs.safetensors"))
    write_cases("runs", cases)


def write_cases(name, cases):
    with open(os.path.join(OUT, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump({"versions": versions(), "cases": cases}, file, indent=1, ensure_ascii=False)
        file.write("\n")


def main():
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "compel.json"), "w", encoding="utf-8") as file:
        rows = [json.dumps({"prompt": text, "parts": parse(text)}, ensure_ascii=False) for text in PARSED]
        file.write('{"prompts": [\n' + ",\n".join(rows) + "\n]}\n")
    for name in ("sd15", "sd21"):
        record(name)
    record_xl()
    record_runs()


if __name__ == "__main__":
    main()
