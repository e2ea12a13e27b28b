#!/usr/bin/env bash
# Chromium and what drives it: install_browser.sh FOLDER puts the node module into FOLDER; Chromium and node
# come from Debian, for which root is needed where they are missing.
set -euo pipefail

folder=$1
missing=()
command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if ((${#missing[@]})); then
    if ((EUID != 0)); then
        echo "These packages are missing: ${missing[*]}. Install them as root, for example: sudo bash $0 $folder" >&2
        exit 2
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
[ -d "$folder/node_modules/playwright-core" ] || npm install --silent --no-fund --no-audit --prefix "$folder" playwright-core@1
