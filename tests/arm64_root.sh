#!/bin/sh
# SPDX-License-Identifier: MIT
# arm64_root.sh DIRECTORY PACKAGE...: unpacks arm64 packages and all they depend on into DIRECTORY, for
# qemu-user and the cross compiler. Needs no root and leaves this machine's packages alone: apt works on lists
# and a cache of its own. Does nothing when DIRECTORY already has these packages.
set -e
root=$1
shift
if [ "$(cat "$root/.packages" 2>/dev/null)" = "$*" ]; then exit 0; fi
apt=$root.apt
mkdir -p "$root" "$apt/lists/partial" "$apt/cache/archives/partial"
apt=$(cd "$apt" && pwd)
touch "$apt/status"
get() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$apt" \
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=0 "$@"
}
get update >"$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 2; }
get install -y --download-only "$@" >"$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 2; }
for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
rm -rf "$apt"
# Absolute links would lead out of the directory.
find "$root" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$root$(readlink "$link")")" "$link"
done
echo "$*" >"$root/.packages"
