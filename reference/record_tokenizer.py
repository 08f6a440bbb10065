# SPDX-License-Identifier: MIT
"""Write a Unicode corpus and the token ids that transformers' CLIP tokenizer gives for it:
reference/tokenizer/.

Usage: record_tokenizer.py [--import-merges bpe_simple_vocab_16e6.txt.gz]
The option turns CLIP's published merges into tokenizer/clip/; it is needed once, and its result is
in the repository.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import tempfile
import unicodedata

from transformers import CLIPTokenizer

from common import HERE, sha256, write_json
from tiny_tokenizer import byte_characters, write_hub_files

OUT = os.path.join(HERE, "tokenizer")
CLIP_MERGES = 49152 - 256 - 2

HAND_WRITTEN = [
    "",
    " ",
    "a",
    "A",
    "\t",
    "\u00a0",
    "\u3000",
    "a lighthouse at sunset",
    "A Lighthouse  At\tSunset\n",
    "should've would've they're i'm you'll he'd it's don't o'clock",
    "SHOULD'VE IT'S DON'T I'M THEY'RE",
    "'s",
    "''s",
    "it\u2019s don\u2019t",
    "rock'n'roll",
    "'tis the season",
    "dogs' bones",
    "x'y'z'm'd'll",
    "'S 'T 'RE 'VE",
    "na\u00efve caf\u00e9",
    "nai\u0308ve cafe\u0301",
    "\u00c9cole",
    "E\u0301COLE",
    "\u00c5ngstr\u00f6m \u212b",
    "stra\u00dfe STRASSE STRA\u1e9eE",
    "\u0130stanbul \u0131\u0130 I i",
    "DI\u0307YARBAKIR",
    "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
    "\u03a3 \u03a3\u03a3 A\u03a3 A\u03a3B A\u03a3\u2019 A\u03a3.",
    "\u03c2\u03c3",
    "\u01c5 \u01c4 \u01c6",
    "\ufb01 \ufb03",
    "\u1e9b\u0323",
    "q\u0307\u0323",
    "a\u0300\u0301\u0302",
    "\u0300",
    "\u1100\u1161\u11a8 \uac01",
    "\u0915\u094d\u0937 \u0939\u093f\u0928\u094d\u0926\u0940 \u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645",
    "\u0645\u064f\u062d\u064e\u0645\u064e\u0651\u062f",
    "\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
    "\u306f\u3099 \u3070 \u30d1\u30cf\u309a",
    "\u4e2d\u6587\uff0c\u6807\u70b9\u3002",
    "\ud55c\uad6d\uc5b4",
    "\uff21\uff22\uff23\uff11\uff12\uff13",
    "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f\u200d\U0001f525",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "12345 1,234.56 1e-5 0x1F 4K 8k",
    "\u0661\u0662\u0663 \u096a\u096b \u2167 \u00bd \u00b2 \u2460 \u4e09",
    "\U0001d7d8\U0001d400\U0001d504",
    "\U00010400\U00010428",
    "\U0001e900\U0001e922",
    "!!!",
    "...",
    "?!?!",
    "---",
    "___",
    "a_b-c",
    "(((masterpiece))), ((best quality:1.2))",
    "<lora:x:0.8>",
    "[a|b]",
    "{a}",
    "http://example.org/a?b=c&d=%20#e",
    "a@b.c",
    "C++ C# .NET",
    "$5 \u20ac5 \u00a35",
    "50% & more",
    "\\n \\ / |",
    "\"quoted\" 'quoted' `quoted`",
    "<|startoftext|>",
    "<|endoftext|>",
    "a <|endoftext|> b",
    "a<|endoftext|>b",
    "<|startoftext|>a<|endoftext|>",
    "<|STARTOFTEXT|>",
    "<|EndOfText|>",
    "<|endoftext|",
    "<|endoftext|><|endoftext|>",
    " <|startoftext|> ",
    "<|start oftext|>",
    "x<|startoftext|>'s",
    "\x01\x02",
    "a\x7fb",
    "a\x1bb",
    "a\u200bb",
    "a\ufeffb",
    "\ufeffa",
    "a\u200db",
    "a\u00adb",
    "a\u2028b\u2029c",
    "a\x0bb\x0cc\x1cd\x1de\x1ef\x1fg",
    "a\x85b",
    "a\u1680b",
    "a\u180eb",
    "a\u2000b\u2003c\u2009d\u200ae",
    "a\u202fb\u205fc",
    "a\r\nb\rc\n\nd",
    "\n",
    "  a  ",
    "\ta\t",
    "\ufffd",
    "\ue000",
    "\uffff",
    "\U0010ffff",
    "\u0378",
    "\u00aa\u00ba",
    "\u02b0\u02bc",
    "\u02bcn \u0149",
    "\u2160\u2170",
    "\u24b6\u24d0",
    "\u1d2c",
    "\u3007\u3021",
    "\u16ee",
    "\u0345\u03b1\u0345 \u1fb3 \u1fbc \u1f80 \u1f88",
    "\u1e9e\u00df",
    "\u00b5\u03bc",
    "\u2126\u03c9\u03a9",
    "\u212a k K",
    "\u017f s S",
    "\ua64a\u1c88",
    "\u10a0\u2d00 \u1c90\u10d0",
    "\u13a0\uab70",
    "\u2c2f\u2c5f",
    "word " * 90,
    "a" * 300,
    "\u00e9" * 100,
    "!" * 200,
    "1" * 100,
    "\U0001f600" * 40,
    "a b " * 38 + "end",
    ("supercalifragilistic " * 12).strip(),
    "one two three four five six seven eight nine ten " * 9,
]

WORDS = """a lighthouse at sunset house tree boat castle windmill mountain snow rain fog storm night
noon dawn dusk sea river field flower cat dog horse astronaut portrait photo painting drawing sketch
oil canvas watercolor detailed intricate sharp focus bokeh cinematic lighting volumetric trending
artstation 4k 8k hdr unreal engine octane render by greg rutkowski alphonse mucha van gogh hokusai
style masterpiece best quality ultra realistic wide angle 35mm f/1.8 iso100 red green blue golden
purple tiny huge ancient futuristic cyberpunk steampunk baroque minimalist no blurry low bad anatomy
watermark text""".split()
SCRIPTS = [
    (0x20, 0x7E),
    (0xA1, 0x17F),
    (0x180, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x3FF),
    (0x400, 0x52F),
    (0x531, 0x58F),
    (0x591, 0x5F4),
    (0x600, 0x6FF),
    (0x900, 0x97F),
    (0x980, 0x9FF),
    (0xE01, 0xE5B),
    (0x10A0, 0x10FF),
    (0x1100, 0x11FF),
    (0x13A0, 0x13FD),
    (0x1D00, 0x1DBF),
    (0x1E00, 0x1EFF),
    (0x1F00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2070, 0x209C),
    (0x20A0, 0x20BF),
    (0x2100, 0x218B),
    (0x2190, 0x23FF),
    (0x2460, 0x27BF),
    (0x2C00, 0x2CFF),
    (0x3000, 0x30FF),
    (0x3105, 0x318E),
    (0x4E00, 0x4FFF),
    (0x9F00, 0x9FFF),
    (0xA640, 0xA69F),
    (0xA720, 0xA7BF),
    (0xAB30, 0xABBF),
    (0xAC00, 0xAEFF),
    (0xFB00, 0xFB4F),
    (0xFE00, 0xFE6F),
    (0xFF01, 0xFFEE),
    (0x10400, 0x104FF),
    (0x1D400, 0x1D7FF),
    (0x1E900, 0x1E95F),
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1F6FF),
    (0x1F900, 0x1FAFF),
    (0x20000, 0x200FF),
]
GLUE = [
    " ",
    " ",
    " ",
    ", ",
    "  ",
    "\t",
    "\u00a0",
    "\u3000",
    "-",
    "'s ",
    "'ve ",
    "\u200d",
    ". ",
    "! ",
    "\u2009",
    "'",
    "",
    "_",
]


def corpus():
    """At least 2,000 different texts; the same on every run."""
    draw = random.Random(20240601)

    def characters(low, high, count):
        found = []
        while len(found) < count:
            c = chr(draw.randint(low, high))
            # Characters that this Python does not know may have another case in the tokenizer's
            # newer tables.
            if unicodedata.category(c) not in ("Cn", "Cs"):
                found.append(c)
        return "".join(found)

    lines = list(HAND_WRITTEN)
    for _ in range(500):
        words = [draw.choice(WORDS) for _ in range(draw.randint(1, 24))]
        words = [draw.choice([str, str, str, str.upper, str.title])(w) for w in words]
        lines.append("".join(w + draw.choice(GLUE) for w in words))
    for low, high in SCRIPTS:
        for _ in range(22):
            lines.append(
                " ".join(
                    characters(low, high, draw.randint(1, 8)) for _ in range(draw.randint(1, 5))
                )
            )
    for _ in range(500):
        line = ""
        for _ in range(draw.randint(1, 12)):
            line += (
                characters(*draw.choice(SCRIPTS), draw.randint(1, 5))
                if draw.random() < 0.6
                else draw.choice(WORDS)
            )
            line += draw.choice(GLUE)
        lines.append(
            draw.choice(
                [
                    str,
                    lambda s: unicodedata.normalize("NFD", s),
                    lambda s: unicodedata.normalize("NFC", s),
                ]
            )(line)
        )
    for _ in range(200):
        marks = "".join(
            characters(0x300, 0x36F, draw.randint(0, 3))
            + draw.choice("aeiouAEIOUcnsyzCNSYZ\u03b1\u03c9\u0418\u0438\u304b\u30d2")
            for _ in range(draw.randint(1, 12))
        )
        lines.append(marks)
    for _ in range(120):
        lines.append(
            "".join(
                draw.choice(
                    ["'", "s", "t", "re", "ve", "m", "ll", "d", " ", "I", "we", ".", "1", "\u2019"]
                )
                for _ in range(draw.randint(2, 30))
            )
        )
    # Only texts without NUL, which a C string cannot hold; each once.
    return list(dict.fromkeys(line for line in lines if "\0" not in line))


def escape(text):
    out = []
    for c in text:
        code = ord(c)
        if c == "\\":
            out.append("\\\\")
        elif c == "\n":
            out.append("\\n")
        elif c == "\r":
            out.append("\\r")
        elif (
            code < 0x20
            or 0x7F <= code <= 0xA0
            or unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cf")
            and c != " "
        ):
            out.append("\\u{%x}" % code)
        else:
            out.append(c)
    return "".join(out)


def import_merges(path):
    with gzip.open(path, "rt", encoding="utf-8") as f:
        merges = f.read().split("\n")[1 : CLIP_MERGES + 1]
    tokens = list(byte_characters().values())
    tokens += [t + "</w>" for t in tokens] + [m.replace(" ", "") for m in merges]
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    assert len(vocabulary) == 49408 and vocabulary["<|endoftext|>"] == 49407
    folder = os.path.join(OUT, "clip")
    write_hub_files(folder, vocabulary, merges, "<|endoftext|>")
    for name in ("vocab.json", "merges.txt"):
        plain = os.path.join(folder, name)
        with open(plain, "rb") as source, open(plain + ".gz", "wb") as packed:
            with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as target:
                shutil.copyfileobj(source, target)
        os.remove(plain)


def unpack_clip(folder):
    """Put CLIP's own tokenizer into `folder`, as hubs hold it."""
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(OUT, "clip")
    for name in os.listdir(source):
        if name.endswith(".gz"):
            with gzip.open(os.path.join(source, name)) as f, open(
                os.path.join(folder, name[:-3]), "wb"
            ) as out:
                shutil.copyfileobj(f, out)
        elif name.endswith(".json"):
            shutil.copy(os.path.join(source, name), folder)
    return folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--import-merges")
    args = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    if args.import_merges:
        import_merges(args.import_merges)
    lines = corpus()
    assert len(lines) >= 2000
    text = "".join(escape(line) + "\n" for line in lines).encode("utf-8")
    with open(os.path.join(OUT, "corpus.txt"), "wb") as f:
        f.write(text)
    with tempfile.TemporaryDirectory() as temporary:
        forms = {
            "tiny-json": os.path.join(HERE, "tiny/sd15/tokenizer"),
            "tiny-hub": os.path.join(HERE, "tiny/sd21/tokenizer"),
            "clip": unpack_clip(os.path.join(temporary, "tokenizer")),
        }
        for form, folder in forms.items():
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            ids = [tokenizer(line, truncation=True, max_length=77).input_ids for line in lines]
            write_json(
                os.path.join(OUT, f"ids.{form}.json"),
                {
                    "format": "tintype-tokens",
                    "version": 1,
                    "corpus_sha256": sha256(text),
                    "lines": len(lines),
                    "ids": ids,
                },
                entries=("ids",),
            )
            print(form, len(lines), "lines, longest", max(map(len, ids)))
        clip_json = os.path.join(temporary, "json")
        CLIPTokenizer.from_pretrained(forms["clip"]).save_pretrained(clip_json)
        again = CLIPTokenizer.from_pretrained(clip_json)
        assert [again(line, truncation=True, max_length=77).input_ids for line in lines] == ids


if __name__ == "__main__":
    main()
