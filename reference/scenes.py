# SPDX-License-Identifier: MIT
"""Draw small captioned scenes: one subject, one time of day or weather.

Everything is drawn by plain arithmetic (+ - * / sqrt min max) from signed distances, so that
another language can repeat it: numbers of a scene are doubles, pixels are float32, and the only
source of chance is splitmix64. Lengths are in units of 1/128 of the picture, y points down, a
subject's own coordinates have their origin at the middle of its foot and y up.

    python scenes.py --sheet sheet.png        a contact sheet of drawn scenes
    python scenes.py --count 8 --out scenes.npz
"""
import argparse
import math
from dataclasses import dataclass

import numpy as np

SUBJECTS = ("lighthouse", "house", "tree", "sailboat", "mountain", "castle", "windmill",
            "balloon", "cactus", "snowman", "tent", "mushroom")
TIMES = ("day", "sunset", "night", "fog", "snow")
COLOURS = ("red", "blue", "yellow", "green", "white")
SIZES = ("small", "medium", "big")
PLACES = ("left", "middle", "right")
# One combination for every subject but the lighthouse, spread over all five times.
HELD_OUT = (("house", "night"), ("tree", "snow"), ("sailboat", "sunset"), ("castle", "fog"),
            ("windmill", "sunset"), ("balloon", "night"), ("cactus", "day"), ("tent", "fog"),
            ("mushroom", "snow"), ("snowman", "night"))

_NOUN = {"balloon": ("hot air balloon", "balloon"), "house": ("house", "cottage"),
         "sailboat": ("sailboat", "sailing boat"), "tree": ("tree",), "tent": ("tent",)}
_TIME_WORDS = {
    "day": ("on a sunny day", "in daylight", "at noon"),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "in the moonlight", "under the stars"),
    "fog": ("in fog", "in the fog", "on a foggy morning"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
}
_PLACE_WORDS = {"left": "on the left", "right": "on the right", "middle": "in the middle"}
_SIZE_WORDS = {"small": ("small", "little"), "big": ("big", "large"), "medium": ("",)}

_PAINT = {"red": (0.84, 0.20, 0.17), "blue": (0.17, 0.38, 0.78), "yellow": (0.96, 0.76, 0.18),
          "green": (0.22, 0.58, 0.30), "white": (0.94, 0.93, 0.89)}
# Subjects that carry a colour, and the one they mostly wear when none is named.
_WEARS = {"lighthouse": "red", "house": "yellow", "sailboat": "white", "castle": "blue",
          "windmill": "white", "balloon": "red", "tent": "yellow", "mushroom": "red"}
_SEA = ("lighthouse", "sailboat")


class Random:
    """splitmix64; real() has 24 bits, so that float32 holds it exactly."""
    MASK = (1 << 64) - 1

    def __init__(self, seed):
        self.state = seed & self.MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def real(self, low=0.0, high=1.0):
        return low + (high - low) * ((self.next() >> 40) / 16777216.0)

    def below(self, n):
        return (self.next() >> 32) * n >> 32

    def pick(self, items):
        return items[self.below(len(items))]

    def chance(self, p):
        return self.real() < p


@dataclass
class Scene:
    subject: str
    time: str
    colour: str
    size: str
    place: str
    seed: int
    named: bool = True     # whether captions may name the colour


def mix(a, b, t):
    return tuple(x + (y - x) * t for x, y in zip(a, b))


def tint(a, b):
    return tuple(x * y for x, y in zip(a, b))


@dataclass
class Light:
    """What a time of day does to colours."""
    sky: tuple          # colours at the top, in the middle and at the horizon
    sun: tuple          # multiplies every painted colour
    haze: tuple         # what far things fade into
    near: float         # how much the subject fades
    far: float          # how much distant hills fade
    grass: tuple
    sea: tuple
    sand: tuple
    window: tuple       # colour of a window pane; lit after dark
    hills: tuple


_SNOW = (0.93, 0.95, 0.99)
LIGHTS = {
    "day": Light(((0.25, 0.53, 0.90), (0.50, 0.74, 0.96), (0.82, 0.92, 0.98)), (1.0, 1.0, 1.0),
                 (0.74, 0.87, 0.95), 0.0, 0.55, (0.42, 0.70, 0.28), (0.13, 0.45, 0.70),
                 (0.92, 0.80, 0.54), (0.35, 0.50, 0.65), (0.30, 0.55, 0.36)),
    "sunset": Light(((0.30, 0.20, 0.46), (0.86, 0.40, 0.36), (1.00, 0.76, 0.36)),
                    (0.86, 0.64, 0.58), (0.90, 0.50, 0.38), 0.06, 0.50, (0.40, 0.38, 0.24),
                    (0.48, 0.26, 0.42), (0.86, 0.60, 0.44), (1.00, 0.86, 0.42),
                    (0.36, 0.20, 0.36)),
    "night": Light(((0.02, 0.04, 0.14), (0.05, 0.09, 0.25), (0.13, 0.20, 0.40)),
                   (0.48, 0.54, 0.74), (0.10, 0.15, 0.32), 0.05, 0.45, (0.30, 0.42, 0.32),
                   (0.14, 0.26, 0.44), (0.52, 0.50, 0.50), (1.00, 0.85, 0.42),
                   (0.14, 0.20, 0.34)),
    "fog": Light(((0.70, 0.73, 0.75), (0.76, 0.78, 0.79), (0.82, 0.83, 0.83)),
                 (0.84, 0.85, 0.86), (0.80, 0.81, 0.81), 0.42, 0.84, (0.50, 0.57, 0.46),
                 (0.46, 0.53, 0.56), (0.74, 0.70, 0.62), (0.92, 0.86, 0.66),
                 (0.45, 0.52, 0.52)),
    "snow": Light(((0.50, 0.62, 0.80), (0.66, 0.76, 0.89), (0.85, 0.90, 0.96)),
                  (0.92, 0.95, 1.0), (0.82, 0.88, 0.95), 0.08, 0.50, _SNOW, (0.34, 0.50, 0.64),
                  _SNOW, (0.98, 0.84, 0.50), (0.62, 0.72, 0.82)),
}


class Canvas:
    """float32 picture; paints shapes by how much of each pixel they cover."""

    def __init__(self, pixels):
        self.n = pixels
        self.unit = 128.0 / pixels
        self.rgb = np.zeros((3, pixels, pixels), np.float32)
        axis = ((np.arange(pixels, dtype=np.float32) + np.float32(0.5))
                * np.float32(self.unit))
        self.xs, self.ys = axis[None, :], axis[:, None]

    def window(self, x0, y0, x1, y1):
        """Pixels that a box may touch, with a margin for the soft edge."""
        u, n = self.unit, self.n
        left = min(max(int(math.floor(x0 / u)) - 1, 0), n)
        top = min(max(int(math.floor(y0 / u)) - 1, 0), n)
        right = min(max(int(math.ceil(x1 / u)) + 1, left), n)
        bottom = min(max(int(math.ceil(y1 / u)) + 1, top), n)
        return top, bottom, left, right

    def blend(self, box, cover, colour, alpha=1.0, shade=None):
        """Lay colour over the box; shade = (x left, x right, factor left, factor right)."""
        top, bottom, left, right = box
        if alpha != 1.0:
            cover = cover * np.float32(alpha)
        factor = None
        if shade is not None:
            x0, x1, f0, f1 = shade
            t = (self.xs[:, left:right] - np.float32(x0)) * np.float32(1.0 / (x1 - x0))
            t = np.minimum(np.maximum(t, np.float32(0)), np.float32(1))
            factor = np.float32(f0) + t * np.float32(f1 - f0)
        for c in range(3):
            view = self.rgb[c, top:bottom, left:right]
            ink = np.float32(colour[c])
            if factor is not None:
                ink = np.minimum(ink * factor, np.float32(1))
            view += (ink - view) * cover

    def cover(self, distance, soft=1.0):
        """1 inside, 0 outside, a ramp `soft` pixels wide around distance 0."""
        scale = np.float32(1.0 / (self.unit * soft))
        return np.minimum(np.maximum(np.float32(0.5) - distance * scale, np.float32(0)),
                          np.float32(1))

    def polygon(self, points, colour, alpha=1.0, shade=None, soft=1.0):
        """Convex polygon, corners clockwise on the screen."""
        px, py = [p[0] for p in points], [p[1] for p in points]
        grow = soft * self.unit
        box = self.window(min(px) - grow, min(py) - grow, max(px) + grow, max(py) + grow)
        top, bottom, left, right = box
        if top >= bottom or left >= right:
            return
        xs, ys = self.xs[:, left:right], self.ys[top:bottom]
        far = None
        for i, (ax, ay) in enumerate(points):
            bx, by = points[(i + 1) % len(points)]
            dx, dy = bx - ax, by - ay
            size = math.sqrt(dx * dx + dy * dy)
            nx, ny = dy / size, -dx / size
            side = xs * np.float32(nx) + (ys * np.float32(ny) - np.float32(ax * nx + ay * ny))
            far = side if far is None else np.maximum(far, side)
        self.blend(box, self.cover(far, soft), colour, alpha, shade)

    def ellipse(self, cx, cy, rx, ry, colour, alpha=1.0, shade=None, soft=1.0, above=None,
                below=None):
        """Ellipse, cut off to what lies above or below a height where one is given."""
        grow = soft * self.unit
        y0, y1 = cy - ry - grow, cy + ry + grow
        y0 = y0 if below is None else max(y0, below - grow)
        y1 = y1 if above is None else min(y1, above + grow)
        box = self.window(cx - rx - grow, y0, cx + rx + grow, y1)
        top, bottom, left, right = box
        if top >= bottom or left >= right:
            return
        dx = self.xs[:, left:right] - np.float32(cx)
        dy = self.ys[top:bottom] - np.float32(cy)
        if rx == ry:
            d = np.sqrt(dx * dx + dy * dy) - np.float32(rx)
        else:
            ax, ay = np.float32(1.0 / rx), np.float32(1.0 / ry)
            qx, qy = dx * ax, dy * ay
            k = np.sqrt(qx * qx + qy * qy)
            gx, gy = qx * ax, qy * ay
            d = k * (k - np.float32(1)) / (np.sqrt(gx * gx + gy * gy) + np.float32(1e-6))
        if above is not None:
            d = np.maximum(d, self.ys[top:bottom] - np.float32(above))
        if below is not None:
            d = np.maximum(d, np.float32(below) - self.ys[top:bottom])
        self.blend(box, self.cover(d, soft), colour, alpha, shade)

    def capsule(self, ax, ay, bx, by, r, colour, alpha=1.0, shade=None):
        """All points closer than r to the segment a-b."""
        box = self.window(min(ax, bx) - r - self.unit, min(ay, by) - r - self.unit,
                          max(ax, bx) + r + self.unit, max(ay, by) + r + self.unit)
        top, bottom, left, right = box
        if top >= bottom or left >= right:
            return
        dx, dy = bx - ax, by - ay
        inv = 1.0 / (dx * dx + dy * dy)
        px = self.xs[:, left:right] - np.float32(ax)
        py = self.ys[top:bottom] - np.float32(ay)
        h = px * np.float32(dx * inv) + py * np.float32(dy * inv)
        h = np.minimum(np.maximum(h, np.float32(0)), np.float32(1))
        qx, qy = px - h * np.float32(dx), py - h * np.float32(dy)
        self.blend(box, self.cover(np.sqrt(qx * qx + qy * qy) - np.float32(r)), colour, alpha,
                   shade)

    def glow(self, cx, cy, rx, ry, colour, alpha):
        """A soft spot that fades to nothing at radius (rx, ry)."""
        box = self.window(cx - rx, cy - ry, cx + rx, cy + ry)
        top, bottom, left, right = box
        if top >= bottom or left >= right:
            return
        dx = (self.xs[:, left:right] - np.float32(cx)) * np.float32(1.0 / rx)
        dy = (self.ys[top:bottom] - np.float32(cy)) * np.float32(1.0 / ry)
        t = np.maximum(np.float32(1) - (dx * dx + dy * dy), np.float32(0))
        self.blend(box, t * t, colour, alpha)

    def vertical(self, y0, y1, stops):
        """A band of the full width, its colours even steps from y0 to y1."""
        box = self.window(0, y0, 128, y1)
        box = (box[0], box[1], 0, self.n)
        top, bottom = box[:2]
        ys = self.ys[top:bottom]
        t = (ys - np.float32(y0)) * np.float32((len(stops) - 1) / (y1 - y0))
        cover = self.cover(np.maximum(np.float32(y0) - ys, ys - np.float32(y1)))
        for c in range(3):
            ink = np.full_like(t, stops[0][c])
            for i in range(len(stops) - 1):
                part = np.minimum(np.maximum(t - np.float32(i), np.float32(0)), np.float32(1))
                part = part * part * (np.float32(3) - np.float32(2) * part)
                ink = ink + part * np.float32(stops[i + 1][c] - stops[i][c])
            view = self.rgb[c, top:bottom]
            view += (ink - view) * cover

    def bytes(self):
        """uint8, height × width × 3, rounded to nearest."""
        scaled = np.minimum(np.maximum(self.rgb, np.float32(0)), np.float32(1)) * np.float32(255)
        return np.floor(scaled + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0)


class Stage:
    """A canvas seen from a subject: own coordinates, the light, the fading."""

    def __init__(self, canvas, light, x, y, scale, rng, time, sunside):
        self.canvas, self.light = canvas, light
        self.x, self.y, self.s = x, y, scale
        self.rng, self.time = rng, time
        self.dark = time in ("night", "sunset", "fog")
        # The side turned to the sun is brighter.
        self.lit = (1.08, 0.74) if sunside < x else (0.74, 1.08)

    def ink(self, colour):
        return mix(tint(colour, self.light.sun), self.light.haze, self.light.near)

    def at(self, x, y):
        return self.x + self.s * x, self.y - self.s * y

    def shade(self, x0, x1, strength=1.0):
        f0, f1 = (1.0 + (f - 1.0) * strength for f in self.lit)
        return self.x + self.s * x0, self.x + self.s * x1, f0, f1

    def poly(self, points, colour, shaded=True, raw=False, alpha=1.0):
        xs = [p[0] for p in points]
        shade = self.shade(min(xs), max(xs)) if shaded else None
        self.canvas.polygon([self.at(*p) for p in points], colour if raw else self.ink(colour),
                            alpha, shade)

    def rect(self, x0, y0, x1, y1, colour, shaded=True, raw=False):
        self.poly([(x0, y1), (x1, y1), (x1, y0), (x0, y0)], colour, shaded, raw)

    def oval(self, x, y, rx, ry, colour, shaded=True, raw=False, above=None, below=None,
             soft=1.0, alpha=1.0):
        cx, cy = self.at(x, y)
        cut = [None if v is None else self.y - self.s * v for v in (above, below)]
        self.canvas.ellipse(cx, cy, self.s * rx, self.s * ry, colour if raw else self.ink(colour),
                            alpha, self.shade(x - rx, x + rx) if shaded else None, soft,
                            below=cut[1], above=cut[0])

    def rod(self, ax, ay, bx, by, r, colour, shade=None):
        (x0, y0), (x1, y1) = self.at(ax, ay), self.at(bx, by)
        self.canvas.capsule(x0, y0, x1, y1, self.s * r, self.ink(colour), shade=shade)

    def pane(self, x0, y0, x1, y1):
        """A window: dark by day, lit when it is dark outside."""
        lit = self.time != "day"
        self.rect(x0, y0, x1, y1, self.light.window, False, lit)

    def shadow(self, width):
        cx, cy = self.at(0, 0)
        self.canvas.glow(cx, cy, self.s * width, self.s * width * 0.22,
                         mix((0.0, 0.0, 0.0), self.light.haze, self.light.near + 0.1), 0.35)


DARK = (0.20, 0.19, 0.22)
WOOD = (0.45, 0.29, 0.17)
STONE = (0.62, 0.60, 0.58)
PALE = (0.95, 0.93, 0.88)


def draw_lighthouse(st, paint):
    if st.time == "night":
        cx, cy = st.at(0, 60)
        for side in (-1, 1):
            tip = [(cx, cy - 1.0 * st.s), (cx + side * 150.0, cy - 20.0 * st.s),
                   (cx + side * 150.0, cy + 16.0 * st.s), (cx, cy + 1.0 * st.s)]
            st.canvas.polygon(tip if side > 0 else tip[::-1], (1.0, 0.92, 0.60), 0.22)
    st.oval(0, -4, 26, 12, (0.40, 0.36, 0.36))
    st.oval(8, -3, 14, 7, (0.34, 0.31, 0.32))
    band = paint if paint != _PAINT["white"] else STONE
    half = [9.5 - 3.5 * i / 5 for i in range(6)]
    for i in range(5):
        y0, y1 = 4 + 9.6 * i, 4 + 9.6 * (i + 1)
        st.poly([(-half[i + 1], y1), (half[i + 1], y1), (half[i], y0), (-half[i], y0)],
                band if i % 2 == 0 else PALE)
    st.rect(-2, 4, 2, 11, DARK, False)
    st.rect(-9, 52, 9, 55, DARK)
    st.rect(-4.5, 55, 4.5, 64, (1.0, 0.93, 0.60) if st.time != "day" else (0.75, 0.85, 0.90),
            False, st.time != "day")
    st.poly([(-7, 64), (0, 73), (7, 64)], band if band != STONE else DARK)
    if st.dark:
        cx, cy = st.at(0, 60)
        st.canvas.glow(cx, cy, 17 * st.s, 17 * st.s, (1.0, 0.92, 0.60), 0.75)


def draw_house(st, paint):
    st.shadow(36)
    st.rect(12, 36, 19, 58, (0.55, 0.32, 0.26))
    st.rect(-24, 0, 24, 32, paint)
    roof = (0.62, 0.26, 0.20) if paint not in (_PAINT["red"],) else (0.36, 0.30, 0.34)
    if st.time == "snow":
        roof = _SNOW
    st.poly([(-30, 31), (0, 56), (30, 31)], roof)
    st.rect(-5, 0, 5, 18, WOOD, False)
    for x in (-15, 15):
        st.rect(x - 5.5, 12.5, x + 5.5, 23.5, PALE, False)
        st.pane(x - 4, 14, x + 4, 22)


def draw_tree(st, paint):
    st.shadow(28)
    st.poly([(-3, 30), (3, 30), (5, 0), (-5, 0)], WOOD)
    leaf = (0.24, 0.50, 0.22)
    high = (0.36, 0.62, 0.26)
    if st.time == "snow":
        high = _SNOW
    st.oval(-12, 34, 15, 13, mix(leaf, DARK, 0.15))
    st.oval(13, 35, 15, 13, mix(leaf, DARK, 0.15))
    st.oval(0, 43, 20, 18, leaf)
    st.oval(-3, 52, 13, 10, high)
    st.oval(11, 42, 7, 5, high)
    st.oval(-14, 39, 6, 4.5, high)


def draw_sailboat(st, paint):
    cx, cy = st.at(0, -3)
    st.canvas.glow(cx, cy, 36 * st.s, 6 * st.s, st.ink((0.08, 0.12, 0.20)), 0.5)
    st.rect(-1, 8, 1, 64, WOOD, False)
    st.poly([(1.5, 62), (26, 14), (1.5, 12)], paint)
    st.poly([(-2.0, 56), (-2.0, 12), (-20, 14)], mix(paint, PALE, 0.45), False)
    hull = (0.50, 0.27, 0.18)
    st.poly([(-28, 10), (30, 10), (20, -2), (-20, -2)], hull)
    st.poly([(-28, 10), (30, 10), (28.3, 8), (-26.6, 8)], PALE, False)


def draw_mountain(st, paint):
    rock, dark = (0.50, 0.49, 0.55), (0.38, 0.37, 0.45)
    left_lit = st.lit[0] > st.lit[1]
    a, b = (rock, dark) if left_lit else (dark, rock)
    for x, top, width in ((22, 46, 34), (-8, 68, 46)):
        st.poly([(x, top), (x + 3, 0), (x - width, 0)], a, False)
        st.poly([(x, top), (x + width, 0), (x + 2, 0)], b, False)
        cut = 0.62 if st.time != "snow" else 0.40
        y, w = top * cut, width * (1 - cut)
        bright, dim = _SNOW, (0.76, 0.80, 0.88)
        p, q = (bright, dim) if left_lit else (dim, bright)
        low = x + 3.0 * (1 - cut)
        st.poly([(x, top), (low, y - 5), (x - w * 0.5, y + 3), (x - w, y)], p, False)
        st.poly([(x, top), (x + w, y), (x + w * 0.5, y + 3), (low - 0.6, y - 5)], q, False)


def draw_castle(st, paint):
    st.shadow(42)
    wall = (0.70, 0.67, 0.63)
    st.rect(-9, 20, 9, 50, mix(wall, DARK, 0.12))
    st.poly([(-12, 50), (0, 68), (12, 50)], paint)
    st.rect(-26, 0, 26, 27, wall)
    for x in (-14, -4.5, 5, 14.5):
        st.rect(x - 2.6, 26, x + 2.6, 31.5, wall, False)
    for x in (-27, 27):
        st.rect(x - 8, 0, x + 8, 40, mix(wall, PALE, 0.15))
        st.poly([(x - 11, 40), (x, 58), (x + 11, 40)], paint)
        st.pane(x - 2, 24, x + 2, 32)
    st.rect(-6, 0, 6, 11, DARK, False)
    st.oval(0, 11, 6, 6, DARK, False)
    st.pane(-2.2, 37, 2.2, 44)


def draw_windmill(st, paint):
    st.shadow(28)
    st.poly([(-8, 42), (8, 42), (14, 0), (-14, 0)], paint)
    st.oval(0, 42, 9.5, 10, (0.48, 0.28, 0.22), below=None, above=41)
    st.rect(-4, 0, 4, 13, WOOD, False)
    st.pane(-2.6, 22, 2.6, 29)
    t = st.rng.real(0.08, 0.36)          # half-angle tangent: the sails turn by rational points
    c, s = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    sail = (0.90, 0.84, 0.72) if paint != _PAINT["white"] else (0.72, 0.30, 0.24)
    for ux, uy in ((c, s), (-s, c), (-c, -s), (s, -c)):
        vx, vy = uy, -ux

        def turn(u, v):
            return ux * u + vx * v, 44 + uy * u + vy * v
        st.poly([turn(7, 0), turn(31, 0), turn(31, 8), turn(7, 7)], sail, False)
        st.rod(0, 44, ux * 31, 44 + uy * 31, 1.1, WOOD)
    st.oval(0, 44, 3, 3, DARK, False)


def draw_balloon(st, paint):
    other = PALE if paint != _PAINT["white"] else _PAINT["red"]
    st.rod(-12, 31, -5, 17, 0.7, WOOD)
    st.rod(12, 31, 5, 17, 0.7, WOOD)
    st.poly([(-19.5, 42), (19.5, 42), (6, 24), (-6, 24)], paint)
    st.oval(0, 54, 24, 23, paint)
    st.oval(0, 54, 14.5, 23, other)
    st.poly([(-12, 42.4), (12, 42.4), (3.8, 24), (-3.8, 24)], other)
    st.oval(0, 54, 5.5, 23, paint)
    st.poly([(-4.6, 42.4), (4.6, 42.4), (1.5, 24), (-1.5, 24)], paint)
    st.rect(-6, 8, 6, 17, (0.55, 0.36, 0.20))
    if st.dark:
        cx, cy = st.at(0, 26)
        st.canvas.glow(cx, cy, 15 * st.s, 17 * st.s, (1.0, 0.80, 0.40), 0.55)


def draw_cactus(st, paint):
    st.shadow(22)
    body, arm = (0.22, 0.55, 0.30), (0.19, 0.48, 0.27)
    for x, y0, y1 in ((-17, 26, 42), (17, 20, 50)):
        st.rod(0, y0, x, y0, 4.6, arm)
        st.rod(x, y0, x, y1, 4.6, arm, st.shade(x - 4.6, x + 4.6))
    st.rod(0, 3, 0, 58, 8, body, st.shade(-8, 8))
    if st.time == "snow":
        for x, y, r in ((0, 63, 6), (-17, 44, 4), (17, 52, 4)):
            st.oval(x, y, r, 3, _SNOW, False)
    else:
        st.oval(0, 66, 4, 3, (0.93, 0.40, 0.52), False)


def draw_snowman(st, paint):
    st.shadow(28)
    ball = (0.95, 0.96, 0.99)
    if st.time == "snow":
        ball = (0.84, 0.89, 0.97)
    for side in (-1, 1):
        st.rod(side * 12, 33, side * 28, 43, 1.2, WOOD)
    st.oval(0, 15, 19, 17, ball)
    st.oval(0, 37, 14, 13, ball)
    st.oval(0, 55, 10.5, 10.5, ball)
    st.poly([(-10, 49), (10, 49), (9, 44), (-9, 44)], (0.80, 0.20, 0.20))
    st.poly([(3, 47), (9, 47), (10, 33), (5, 33)], (0.72, 0.16, 0.18))
    st.rect(-12, 62, 12, 65, DARK, False)
    st.rect(-7.5, 64, 7.5, 76, DARK)
    st.oval(-4, 58, 1.7, 1.7, DARK, False)
    st.oval(4, 58, 1.7, 1.7, DARK, False)
    st.poly([(0, 56), (11, 53.5), (0, 52.5)], (0.95, 0.52, 0.15), False)


def draw_tent(st, paint):
    st.shadow(40)
    st.poly([(-6, 44), (16, 44), (38, 0), (24, 0)], mix(paint, DARK, 0.30), False)
    st.poly([(-6, 44), (22, 0), (-34, 0)], paint)
    lit = st.time in ("night", "sunset")
    st.poly([(-6, 33), (6, 0), (-18, 0)], (1.0, 0.80, 0.40) if lit else DARK, False, lit)
    if st.time == "night":
        cx, cy = st.at(-6, 10)
        st.canvas.glow(cx, cy, 30 * st.s, 22 * st.s, (1.0, 0.80, 0.40), 0.45)


def draw_mushroom(st, paint):
    st.shadow(22)
    st.poly([(-6, 32), (6, 32), (9.5, 0), (-9.5, 0)], (0.95, 0.90, 0.80))
    st.oval(0, 31, 25, 6, (0.84, 0.76, 0.66), False)
    st.oval(0, 31, 28, 27, paint, above=30)
    spot = PALE if paint != _PAINT["white"] else (0.75, 0.58, 0.45)
    for x, y, r in ((0, 46, 5.2), (-15, 38, 4.0), (15.5, 39, 4.2)):
        st.oval(x, y, r, r * 0.85, spot, False)


DRAW = {name: globals()["draw_" + name] for name in SUBJECTS}


def cloud(canvas, x, y, w, colour, alpha):
    for dx, dy, r in ((-0.55, 0.05, 0.45), (0.5, 0.06, 0.5), (0.0, -0.08, 0.62)):
        canvas.ellipse(x + dx * w, y + dy * w, r * w, r * w * 0.42, colour, alpha, soft=5.0)


def draw_sky(canvas, light, time, horizon, rng, subject_x):
    """Sky and what is in it; answers where the sun or moon stands."""
    canvas.vertical(0, horizon + 1, light.sky)
    side = 1 if subject_x < 64 else -1
    sun = 64 + side * rng.real(22, 44)
    if time == "day":
        y = rng.real(16, 28)
        canvas.glow(sun, y, 30, 30, (1.0, 0.98, 0.80), 0.55)
        canvas.ellipse(sun, y, 9, 9, (1.0, 0.94, 0.55))
    elif time == "sunset":
        y = horizon - rng.real(4, 14)
        canvas.glow(sun, y, 62, 46, (1.0, 0.80, 0.36), 0.70)
        canvas.ellipse(sun, y, 13, 13, (1.0, 0.93, 0.62))
    elif time == "night":
        y = rng.real(18, 30)
        canvas.glow(sun, y, 30, 30, (0.60, 0.68, 0.86), 0.40)
        canvas.ellipse(sun, y, 10, 10, (0.95, 0.94, 0.84))
        canvas.ellipse(sun - 3, y + 2, 2.6, 2.6, (0.84, 0.83, 0.76))
        canvas.ellipse(sun + 3.5, y - 3, 1.9, 1.9, (0.85, 0.84, 0.77))
        for i in range(12):
            x, y = (i % 6) * 21.3 + rng.real(4, 18), (i // 6) * 28 + rng.real(5, 26)
            if (x - sun) * (x - sun) + (y - 24) * (y - 24) > 420:
                canvas.ellipse(x, y, 0.9, 0.9, (0.92, 0.93, 1.0), soft=1.6)
    if time in ("day", "sunset", "snow"):
        colour = {"day": (1, 1, 1), "sunset": (0.98, 0.62, 0.48), "snow": (0.93, 0.95, 0.98)}
        for i in range(2):
            x = (64 - side * rng.real(20, 50)) if i else 64 + side * rng.real(0, 60)
            cloud(canvas, x, rng.real(18, 44), rng.real(15, 24), colour[time],
                  0.85 if time == "day" else 0.6)
    return sun


def draw_land(canvas, light, scene, horizon, rng, sun):
    """Distant hills, then the ground or the sea."""
    sea, time = scene.subject in _SEA, scene.time
    if not sea or rng.chance(0.5):
        far = mix(tint(light.hills, (1.0, 1.0, 1.0)), light.haze, light.far)
        low = 0.5 if sea else 1.0
        for i in range(2):
            x = i * 70 + rng.real(0, 58)
            canvas.ellipse(x, horizon + 4, rng.real(38, 64), low * rng.real(14, 26), far,
                           above=horizon + 1)
    if sea:
        deep = mix(light.sea, light.haze, light.near * 0.6)
        canvas.vertical(horizon, 129, (mix(deep, light.haze, 0.45), deep, tint(deep, (0.8,) * 3)))
        if time in ("sunset", "night", "day"):
            glint = {"sunset": (1.0, 0.80, 0.42), "night": (0.72, 0.78, 0.90),
                     "day": (0.90, 0.96, 1.0)}[time]
            strength = {"sunset": 0.75, "night": 0.40, "day": 0.35}[time]
            for i in range(4):
                canvas.glow(sun, horizon + 3 + 9 * i, 16 + 3 * i, 3.4 + i, glint, strength)
        return
    base = light.sand if scene.subject == "cactus" else light.grass
    base = mix(base, light.haze, light.near * 0.6)
    if time == "night" and scene.subject == "cactus":
        base = tint(base, (0.75, 0.75, 0.9))
    back = mix(base, light.haze, 0.35)
    if time in ("night", "sunset"):
        base, back = tint(base, (0.62,) * 3), tint(back, (0.72,) * 3)
    canvas.vertical(horizon, 129, (back, base, tint(base, (0.84,) * 3)))
    x = rng.real(10, 118)
    canvas.ellipse(x, horizon + 30, rng.real(80, 110), rng.real(22, 26), mix(base, back, 0.4),
                   below=None, soft=1.0)
    canvas.ellipse(128 - x, horizon + 46, rng.real(90, 120), rng.real(26, 32), base, 0.9,
                   shade=(0, 128, 1.03, 0.95))


def draw(scene, pixels=128):
    """One scene as uint8, height × width × 3."""
    rng = Random(scene.seed * 0x2545F4914F6CDD1D + 0x1234567)
    canvas, light = Canvas(pixels), LIGHTS[scene.time]
    horizon = rng.real(80, 88)
    x = {"left": 37, "middle": 64, "right": 91}[scene.place] + rng.real(-5, 5)
    scale = {"small": 0.62, "medium": 0.88, "big": 1.14}[scene.size] * rng.real(0.95, 1.05)
    sun = draw_sky(canvas, light, scene.time, horizon, rng, x)
    draw_land(canvas, light, scene, horizon, rng, sun)
    y = horizon + rng.real(9, 13) + 9 * (scale - 0.6)
    if scene.subject == "balloon":
        y = horizon - rng.real(0, 8) + 16 * (scale - 0.9)
    elif scene.subject == "mountain":
        y = horizon + 4
        scale *= 1.05
    elif scene.subject == "sailboat":
        y -= 4
    stage = Stage(canvas, light, x, y, scale, rng, scene.time, sun)
    DRAW[scene.subject](stage, _PAINT[scene.colour])
    if scene.subject == "mountain":
        base = mix(light.grass, light.haze, light.near * 0.6)
        if scene.time in ("night", "sunset"):
            base = tint(base, (0.62,) * 3)
        canvas.ellipse(64 + rng.real(-20, 20), 138, 130, 138 - horizon, base,
                       shade=(0, 128, 1.05, 0.92))
    if scene.time == "fog":
        for i in range(2):
            canvas.glow(rng.real(10, 118), horizon + rng.real(-14, 22), 70, 13, light.haze, 0.65)
    elif scene.time == "snow":
        for i in range(16):
            fx, fy = (i % 4) * 32 + rng.real(4, 28), (i // 4) * 30 + rng.real(3, 27)
            canvas.ellipse(fx, fy, 1.5, 1.5, (1.0, 1.0, 1.0), 0.95, soft=1.6)
    return canvas.bytes()


def scene_of(seed, subject=None, time=None):
    """The scene of a seed: every property drawn from it unless given."""
    rng = Random(seed)
    subject = subject or rng.pick(SUBJECTS)
    time = time or rng.pick(TIMES)
    size = SIZES[(0, 0, 1, 1, 1, 1, 2, 2, 2)[rng.below(9)]]
    place = PLACES[(0, 0, 0, 1, 1, 1, 1, 2, 2, 2)[rng.below(10)]]
    named = subject in _WEARS and rng.chance(0.65)
    colour = rng.pick(COLOURS) if named else _WEARS.get(subject, "white")
    return Scene(subject, time, colour, size, place, seed, named)


def caption(scene, rng):
    """One of many true sentences about a scene."""
    when = rng.pick(_TIME_WORDS[scene.time]) if rng.chance(0.6) else _TIME_WORDS[scene.time][0]
    nouns = _NOUN.get(scene.subject, (scene.subject,))
    noun = rng.pick(nouns) if rng.chance(0.5) else nouns[0]
    words = []
    if scene.size != "medium" and rng.chance(0.7):
        words.append(rng.pick(_SIZE_WORDS[scene.size]))
    # A colour nobody mentions is the usual one, or the caption would leave it to chance.
    if scene.named and rng.chance(0.9):
        words.append(scene.colour)
    thing = "a " + " ".join(words + [noun])
    if (scene.place != "middle" and rng.chance(0.7)) or rng.chance(0.15):
        thing += " " + _PLACE_WORDS[scene.place]
    form = rng.below(10)
    if form < 5:
        return f"{thing} {when}"
    if form < 6:
        return f"{when}, {thing}"
    if form < 7:
        return f"a picture of {thing} {when}"
    if form < 8:
        return f"a painting of {thing}, {when}"
    if form < 9:
        return f"{thing}, {when}"
    return f"{' '.join(words + [noun])} {when}"


def held_out(scene):
    return (scene.subject, scene.time) in HELD_OUT


def training_scenes(count, first=0):
    """Scenes of consecutive seeds without the held-out combinations."""
    seed, out = first, []
    while len(out) < count:
        scene = scene_of(seed)
        seed += 1
        if not held_out(scene):
            out.append(scene)
    return out


def _render(job):
    return draw(job)


def render_all(scenes, processes=2):
    """Pictures of scenes, N × 128 × 128 × 3 uint8."""
    import multiprocessing
    with multiprocessing.Pool(processes) as pool:
        return np.stack(pool.map(_render, scenes, chunksize=64))


def sheet(pictures, columns):
    """A contact sheet of equal pictures."""
    h, w = pictures[0].shape[:2]
    rows = (len(pictures) + columns - 1) // columns
    out = np.full((rows * (h + 4) + 4, columns * (w + 4) + 4, 3), 255, np.uint8)
    for i, p in enumerate(pictures):
        y, x = 4 + (i // columns) * (h + 4), 4 + (i % columns) * (w + 4)
        out[y:y + h, x:x + w] = p
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--sheet", help="write a contact sheet, a row per time, a column per subject")
    ap.add_argument("--count", type=int, default=0, help="write this many training scenes")
    ap.add_argument("--out", default="scenes.npz")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--size", type=int, default=128)
    args = ap.parse_args()
    if args.sheet:
        from PIL import Image
        pictures = [draw(scene_of(args.seed + 100 * i + j, s, t), args.size)
                    for i, t in enumerate(TIMES) for j, s in enumerate(SUBJECTS)]
        Image.fromarray(sheet(pictures, len(SUBJECTS))).save(args.sheet)
    if args.count:
        scenes = training_scenes(args.count, args.seed)
        rng = Random(args.seed + 1)
        np.savez_compressed(args.out, pictures=render_all(scenes),
                            captions=[caption(s, rng) for s in scenes])


if __name__ == "__main__":
    main()
