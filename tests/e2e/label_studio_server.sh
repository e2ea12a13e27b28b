#!/usr/bin/env bash
# Installs Label Studio into a virtual environment of its own (it pins other versions than this project) and
# runs it in the foreground on the loopback address, with SQLite, one user and a token.
#
# label_studio_server.sh install VENV
# label_studio_server.sh run VENV PORT FOLDER TOKEN EMAIL PASSWORD     FOLDER/data is its database
set -euo pipefail

action=$1
venv=$2

case $action in
install)
    [ -x "$venv/bin/label-studio" ] && [ -x "$venv/storage/bin/moto_server" ] && exit 0
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet label-studio==1.23.2
    # Cloud storage on this machine, in an environment of its own.
    "${PYTHON:-python3}" -m venv "$venv/storage"
    "$venv/storage/bin/pip" install --quiet "moto[server,s3]==5.2.5"
    ;;
run)
    port=$3 folder=$4 token=$5 email=$6 password=$7
    mkdir -p "$folder/data"
    # Both switches are needed for a backend on a private address.
    export ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false
    # Slow machines are tested on, too: by itself it waits 100 s for an answer.
    export ML_TIMEOUT_PREDICT=900
    export LABEL_STUDIO_BASE_DATA_DIR="$folder/data"
    # Local files storage: FOLDER/files.
    mkdir -p "$folder/files"
    export LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="$folder/files"
    export COLLECT_ANALYTICS=false LATEST_VERSION_CHECK=false SENTRY_DSN=""
    exec "$venv/bin/label-studio" start --init first --no-browser \
        --internal-host 127.0.0.1 --port "$port" --host "http://127.0.0.1:$port" \
        --username "$email" --password "$password" --user-token "$token" --enable-legacy-api-token
    ;;
*)
    echo "unknown action: $action" >&2
    exit 2
    ;;
esac
