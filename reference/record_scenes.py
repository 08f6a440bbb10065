# SPDX-License-Identifier: MIT
"""Record what scenes.py draws and says, for the renderer in C: reference/scenes.json.

Usage: record_scenes.py
One entry a scene: its properties, a caption, and the sha256 of its picture's bytes.
"""

import hashlib
import json
import os

import scenes


def record(seed, subject, time, pixels):
    scene = scenes.scene_of(seed, subject, time)
    picture = scenes.draw(scene, pixels)
    return {
        "seed": seed,
        "subject": scene.subject,
        "time": scene.time,
        "given": subject is not None,
        "colour": scene.colour,
        "size": scene.size,
        "place": scene.place,
        "held_out": scenes.held_out(scene),
        "caption": scenes.caption(scene, scenes.Random(seed + 1)),
        "pixels": pixels,
        "sha256": hashlib.sha256(picture.tobytes()).hexdigest(),
    }


def main():
    cases = [
        record(1000 + 7 * i + j, subject, time, 128 if (i + j) % 3 else 50)
        for i, subject in enumerate(scenes.SUBJECTS)
        for j, time in enumerate(scenes.TIMES)
    ]
    cases += [record(seed, None, None, (128, 33, 256)[seed % 3]) for seed in range(120)]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenes.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
