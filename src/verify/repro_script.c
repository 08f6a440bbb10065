// SPDX-License-Identifier: MIT
// The nodes of a stretch as a script for PyTorch, that needs no other library than safetensors.
#include <string.h>

#include "verify/repro.h"

char *tt_repro_name(const struct tt_stretch *s, tt_value value, char *text, size_t size) {
    size_t k = tt_alone_recorded(s->alone, value, s->before);
    if (k == TT_NOT_RECORDED) snprintf(text, size, "value.%d", value);
    else
        snprintf(text, size, "%s",
                 tt_recording_at(s->alone->recording, s->alone->call, k)->name);
    return text;
}

static const char head[] =
    "import os\n"
    "\n"
    "import torch\n"
    "import torch.nn.functional as F\n"
    "from safetensors.torch import load_file\n"
    "\n"
    "\n"
    "def shaped(x, *shape):\n"
    "    \"\"\"The same rows of channels under another shape: (N, C, H, W) and (N, H W, C).\"\"\"\n"
    "    if list(x.shape) == list(shape):\n"
    "        return x\n"
    "    rows = (x.movedim(1, -1) if x.dim() == 4 else x).reshape(-1)\n"
    "    if len(shape) == 4:\n"
    "        n, c, h, w = shape\n"
    "        return rows.reshape(n, h, w, c).movedim(-1, 1)\n"
    "    return rows.reshape(shape)\n"
    "\n"
    "\n"
    "def attention(q, k, v, heads, scale, causal):\n"
    "    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))\n"
    "    y = F.scaled_dot_product_attention(q, k, v, scale=scale, is_causal=causal)\n"
    "    return y.transpose(1, 2).flatten(2)\n"
    "\n"
    "\n"
    "def sinusoidal(t, dim, flip, shift):\n"
    "    half = dim // 2\n"
    "    i = torch.arange(half, dtype=torch.float64)\n"
    "    phase = t.double()[:, None] * torch.exp(-9.210340371976184 * i / (half - shift))\n"
    "    parts = [phase.cos(), phase.sin()] if flip else [phase.sin(), phase.cos()]\n"
    "    return F.pad(torch.cat(parts, dim=-1), (0, dim % 2)).to(t.dtype)\n"
    "\n"
    "\n"
    "def geglu(x):\n"
    "    hidden, gate = x.chunk(2, dim=-1)\n"
    "    return hidden * F.gelu(gate)\n"
    "\n"
    "\n"
    "def make(t):\n"
    "    v = {}\n";

static const char tail[] =
    "\n"
    "\n"
    "def difference(a, b):\n"
    "    return (a.double() - b.double()).abs().max().item()\n"
    "\n"
    "\n"
    "folder = os.path.dirname(os.path.abspath(__file__))\n"
    "values = load_file(os.path.join(folder, \"repro.safetensors\"))\n"
    "wide = {k: x.double() if x.is_floating_point() else x for k, x in values.items()}\n"
    "with torch.inference_mode():\n"
    "    single, double = make(values), make(wide)\n"
    "expected, tintype = (values[k].reshape(single.shape) for k in (\"expected\", \"tintype\"))\n"
    "largest = expected.double().abs().max().item()\n"
    "print(f\"largest magnitude of what was recorded: {largest:.6g}\")\n"
    "print(f\"tintype, and what was recorded:         {difference(tintype, expected):.3g}\")\n"
    "print(f\"these calls in float32, and recorded:   {difference(single, expected):.3g}\")\n"
    "print(f\"these calls in float64, and recorded:   {difference(double, expected):.3g}\")\n"
    "print(f\"these calls in float64, and tintype:    {difference(double, tintype):.3g}\")\n";

// A text between quotes of Python.
static void quote(FILE *to, const char *text) {
    fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') fprintf(to, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f) fprintf(to, "\\x%02x", c);
        else fputc(c, to);
    }
    fputc('"', to);
}

static void shape(FILE *to, const struct tt_shape *s) {
    for (size_t i = 0; i < s->rank; i++) fprintf(to, "%s%zu", i ? ", " : "", s->dim[i]);
}

// "shaped(v[3], 2, 12, 4, 4)": input j of a node.
static void input(FILE *to, const struct tt_alone *alone, const struct tt_node *node, int j) {
    const struct tt_tape *tape = &alone->network.tape;
    tt_value root = alone->root[node->input[j]];
    bool reshaped = root != node->input[j];
    fprintf(to, reshaped ? "shaped(v[%d], " : "v[%d]", root);
    if (!reshaped) return;
    shape(to, &tape->tensors[node->input[j]].shape);
    fputc(')', to);
}

static void parameter(FILE *to, const struct tt_node *node, int i) {
    if (!node->param[i]) {
        fputs("None", to);
        return;
    }
    fputs("t[", to);
    quote(to, node->param[i]->name);
    fputc(']', to);
}

static void product(FILE *to, const struct tt_alone *alone, const struct tt_node *node) {
    bool conv = node->op == TT_OP_conv2d;
    fputs(conv ? "F.conv2d(F.pad(" : "F.linear(", to);
    input(to, alone, node, 0);
    if (conv)
        fprintf(to, ", (%zu, %zu, %zu, %zu))", node->with.conv.pad_left, node->with.conv.pad_right,
                node->with.conv.pad_top, node->with.conv.pad_bottom);
    fputs(", ", to);
    parameter(to, node, 0);
    fputs(", ", to);
    parameter(to, node, 1);
    if (conv) fprintf(to, ", stride=%zu", node->with.conv.stride);
    fputc(')', to);
}

static void norm(FILE *to, const struct tt_alone *alone, const struct tt_node *node) {
    bool group = node->op == TT_OP_group_norm;
    fputs(group ? "F.group_norm(" : "F.layer_norm(", to);
    input(to, alone, node, 0);
    if (group) fprintf(to, ", %zu, ", node->with.norm.groups);
    else fprintf(to, ", (%zu,), ", node->param[0]->shape.dim[0]);
    parameter(to, node, 0);
    fputs(", ", to);
    parameter(to, node, 1);
    fprintf(to, ", eps=%.9g)", (double)node->with.norm.eps);
}

static void attention(FILE *to, const struct tt_alone *alone, const struct tt_node *node) {
    fputs("attention(", to);
    for (int j = 0; j < 3; j++) {
        input(to, alone, node, j);
        fputs(", ", to);
    }
    fprintf(to, "%zu, %.9g, %s)", node->with.attention.heads, (double)node->with.attention.scale,
            node->with.attention.causal ? "True" : "False");
}

// What is written before the first input, between the inputs, and behind the last.
static void plain(FILE *to, const struct tt_alone *alone, const struct tt_node *node,
                  const char *before, const char *between, const char *behind) {
    fputs(before, to);
    for (int j = 0; j < node->input_count; j++) {
        if (j) fputs(between, to);
        input(to, alone, node, j);
    }
    fputs(behind, to);
}

static void call(FILE *to, const struct tt_alone *alone, const struct tt_node *node) {
    const struct tt_shape *out = &alone->network.tape.tensors[node->output].shape;
    char text[160];
    switch (node->op) {
    case TT_OP_linear: case TT_OP_conv2d: product(to, alone, node); return;
    case TT_OP_group_norm: case TT_OP_layer_norm: norm(to, alone, node); return;
    case TT_OP_attention: attention(to, alone, node); return;
    case TT_OP_embedding:
        plain(to, alone, node, "F.embedding(", "", ", ");
        parameter(to, node, 0);
        fputc(')', to);
        return;
    case TT_OP_sinusoidal:
        snprintf(text, sizeof text, ", %zu, %s, %.9g)", node->with.sinusoidal.dim,
                 node->with.sinusoidal.flip_sin_to_cos ? "True" : "False",
                 (double)node->with.sinusoidal.shift);
        plain(to, alone, node, "sinusoidal(", "", text);
        return;
    case TT_OP_silu: plain(to, alone, node, "F.silu(", "", ")"); return;
    case TT_OP_gelu: plain(to, alone, node, "F.gelu(", "", ")"); return;
    case TT_OP_quick_gelu:
        plain(to, alone, node, "(lambda x: x * torch.sigmoid(1.702 * x))(", "", ")");
        return;
    case TT_OP_geglu: plain(to, alone, node, "geglu(", "", ")"); return;
    case TT_OP_relu: plain(to, alone, node, "F.relu(", "", ")"); return;
    case TT_OP_tanh: plain(to, alone, node, "torch.tanh(", "", ")"); return;
    case TT_OP_affine:
        snprintf(text, sizeof text, " * %.9g + %.9g", (double)node->with.affine.scale,
                 (double)node->with.affine.shift);
        plain(to, alone, node, "", "", text);
        return;
    case TT_OP_scale:
        snprintf(text, sizeof text, " * %.9g", (double)node->with.scale);
        plain(to, alone, node, "", "", text);
        return;
    case TT_OP_add: plain(to, alone, node, "", " + ", ""); return;
    case TT_OP_add_image: plain(to, alone, node, "", " + ", "[:, :, None, None]"); return;
    case TT_OP_upsample_nearest:
        snprintf(text, sizeof text, ", size=(%zu, %zu), mode=\"nearest\")", out->dim[2],
                 out->dim[3]);
        plain(to, alone, node, "F.interpolate(", "", text);
        return;
    case TT_OP_concat: plain(to, alone, node, "torch.cat([", ", ", "], dim=1)"); return;
    case TT_OP_take_row:
        plain(to, alone, node, "(lambda x, i: x[torch.arange(len(x)), i])(", ", ", ")");
        return;
    default: fputs("None", to); // inputs and reshapes, which are no steps
    }
}

void tt_repro_script(FILE *to, const struct tt_stretch *s, size_t k) {
    const struct tt_alone *alone = s->alone;
    const struct tt_tape *tape = &alone->network.tape;
    const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
    char text[512];
    fputs("# SPDX-License-Identifier: MIT\n# What a network should give for ", to);
    for (const char *c = r->name; *c; c++) fputc((unsigned char)*c < 0x20 ? '?' : *c, to);
    fputs(", and what was recorded: as calls of PyTorch, from the inputs that were recorded.\n"
          "# Run it with torch and safetensors; 'tintype verify FOLDER' does the same here.\n", to);
    fputs(head, to);
    for (int i = 0; i <= s->target; i++) {
        if (!s->data[i]) continue;
        fprintf(to, "    v[%d] = ", i);
        if (s->made[i]) {
            call(to, alone, &tape->nodes[i]);
            fprintf(to, "  # %s\n", tape->nodes[i].name);
        } else {
            fputs("t[", to);
            quote(to, tt_repro_name(s, i, text, sizeof text));
            fputs("]\n", to);
        }
    }
    fprintf(to, "    return v[%d]\n", s->target);
    fputs(tail, to);
}
