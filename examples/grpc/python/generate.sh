#!/usr/bin/env bash
# Generates gen/ from the contract.
set -euo pipefail
cd "$(dirname "$0")"

rm -rf gen
mkdir gen
if python3 -c 'import grpc_tools.protoc' 2>/dev/null && ! command -v grpc_python_plugin >/dev/null; then
	python3 -m grpc_tools.protoc -I ../../../proto --python_out gen --grpc_python_out gen gotapi/history/v1/history.proto
else
	protoc -I ../../../proto --python_out gen --grpc_out gen \
		--plugin "protoc-gen-grpc=$(command -v grpc_python_plugin)" gotapi/history/v1/history.proto
fi
