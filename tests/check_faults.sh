#!/bin/sh
# SPDX-License-Identifier: MIT
# Of faults.sh a part that takes seconds: some calls of some commands fail, or the process is killed at them.
exec sh tests/faults.sh --quick
