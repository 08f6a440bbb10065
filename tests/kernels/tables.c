// SPDX-License-Identifier: MIT
#include "check.h"

// A kernel without a check links, and then fails the run.
#define KERNEL(name, exactness, params)                                                            \
    extern check_function check_##name __attribute__((weak));
#include "kernels.def"

check_function *const check_kernels[TT_KERNEL_COUNT] = {
#define KERNEL(name, exactness, params) check_##name,
#include "kernels.def"
};

const struct check_driver check_drivers[] = {
    {"attention", check_attention},
    {"attention_backward", check_attention_backward},
    {"column_sums", check_column_sums},
    {"compare", check_compare},
    {"conv_direct", check_conv_direct},
    {"conv_direct_half", check_conv_direct_half},
    {"conv_dw_direct", check_conv_dw_direct},
    {"conv_dw_winograd", check_conv_dw_winograd},
    {"conv_dx_direct", check_conv_dx_direct},
    {"conv_dx_winograd", check_conv_dx_winograd},
    {"conv_winograd", check_conv_winograd},
    {"conv_winograd_half", check_conv_winograd_half},
    {"dequant_packed", check_dequant_packed},
    {"gemm", check_gemm},
    {"gemm_half", check_gemm_half},
    {"group_norm", check_group_norm},
    {"group_norm_backward", check_group_norm_backward},
    {"layer_norm", check_layer_norm},
    {"layer_norm_backward", check_layer_norm_backward},
    {"linear_dw", check_linear_dw},
    {"linear_dx", check_linear_dx},
    {"sum_squares", check_sum_squares},
    {NULL, NULL},
};
