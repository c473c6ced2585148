#!/usr/bin/env bash
# Runs the access check beside cedar-go and casbin; they are fetched by Go's own means and are no dependency of Alvara.
set -euo pipefail
cd "$(dirname "$0")/access"
command -v go >/dev/null || { echo "skipped: Go is not installed"; exit 0; }
go mod download 2>/dev/null || { echo "skipped: the peers' modules cannot be fetched"; exit 0; }
exec go run .
