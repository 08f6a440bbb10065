// SPDX-License-Identifier: MIT
// The picture of a scene.
#ifndef TT_CLI_SCENE_DRAW_H
#define TT_CLI_SCENE_DRAW_H

#include "cli/scenes/scene.h"

// Draws the scene: rgb (pixels, pixels, 3), rows from the top. work: 3 pixels² floats.
void scene_draw(const struct scene *scene, size_t pixels, float *work, uint8_t *rgb);

#endif
