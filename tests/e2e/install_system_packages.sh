#!/usr/bin/env bash
# System packages that a bare Debian or Ubuntu needs to show napari in a virtual screen (Xvfb with OpenGL).
# Does nothing where they are already present; needs root where they are not.
set -euo pipefail

packages=(
    xvfb xauth                                           # the virtual screen
    libgl1 libglx-mesa0 libgl1-mesa-dri libegl1          # OpenGL in software, for the canvas
    libglib2.0-0 libdbus-1-3 libfontconfig1 fonts-dejavu-core
    libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1
    libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1
)

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    # Since their 64-bit time change, Debian and Ubuntu spell some of these with t64 at the end.
    [[ $state == ii* ]] || state=$(dpkg-query -W -f='${db:Status-Abbrev}' "${package}t64" 2>/dev/null || true)
    [[ $state == ii* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    exit 0
fi
if ((EUID != 0)); then
    echo "These packages are missing: ${missing[*]}. Install them as root, for example: sudo bash $0" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
