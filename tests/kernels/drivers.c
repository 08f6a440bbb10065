// SPDX-License-Identifier: MIT
// The drivers, which choose tiles and threads: any table and any number of threads gives the bits
// of the scalar table on one thread, and those are near float64.
#include "check.h"

check_function check_gemm, check_conv_direct, check_conv_winograd;

const struct check_driver check_drivers[] = {
    {"gemm", check_gemm},
    {"conv_direct", check_conv_direct},
    {"conv_winograd", check_conv_winograd},
    {NULL, NULL},
};
