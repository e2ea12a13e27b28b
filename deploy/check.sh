#!/usr/bin/env bash
# Checks what is deployed as far as this machine has the tools, and says what was not run.
#
# deploy/check.sh            the files: hadolint, kubernetes-validate, docker compose, helm lint
# deploy/check.sh build      those, and both images are built and started, where there is a container engine
set -euo pipefail
cd "$(dirname "$0")/.."

left_out=()
failed=()

# try NAME COMMAND...: runs a command if its program is there, and goes on after it failed.
try() {
    local name=$1
    shift
    if ! command -v "$1" >/dev/null; then
        left_out+=("$name ($1 is not installed)")
    elif "$@"; then
        echo "passed: $name"
    else
        failed+=("$name")
    fi
}

# starts TAG: whether an image loads its model within two minutes.
starts() {
    local container
    container=$(docker run --detach --rm "$1")
    for _ in $(seq 60); do
        if docker exec "$container" python -c \
            "from urllib.request import urlopen; urlopen('http://127.0.0.1:9090/health/ready', timeout=2)" \
            2>/dev/null; then
            docker stop "$container" >/dev/null
            return 0
        fi
        sleep 2
    done
    docker logs "$container" >&2
    docker stop "$container" >/dev/null
    return 1
}

try "Dockerfile" hadolint deploy/Dockerfile
try "kubernetes.yaml" kubernetes-validate --strict --quiet deploy/kubernetes.yaml
try "Helm chart" helm lint --strict deploy/helm/sam2
if docker compose version >/dev/null 2>&1; then
    LABEL_STUDIO_API_KEY=key BASIC_AUTH_PASS=password \
        try "compose.yaml" docker compose --file deploy/compose.yaml config --quiet
else
    left_out+=("compose.yaml (docker compose is not installed)")
fi

if [ "${1:-}" = build ]; then
    if docker info >/dev/null 2>&1; then
        index=$(sed -n 's/^ARG TORCH_INDEX=//p' deploy/Dockerfile)
        for kind in cpu cu128; do
            tag=sam2-plugins-label-studio:$kind
            try "image $kind" docker build --file deploy/Dockerfile --tag "$tag" \
                --build-arg "TORCH_INDEX=${index%/*}/$kind" .
            # The one for NVIDIA graphics falls back on the processor where there is none.
            try "image $kind starts" starts "$tag"
        done
    else
        left_out+=("images (no container engine answers)")
    fi
fi

for one in "${left_out[@]}"; do echo "not run: $one"; done
for one in "${failed[@]}"; do echo "failed: $one" >&2; done
[ ${#failed[@]} -eq 0 ]
