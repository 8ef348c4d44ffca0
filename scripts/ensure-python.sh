#!/usr/bin/env bash
# Makes sure that there is what the examples in Python need, for their tests.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

if /usr/bin/python3 -c 'import grpc, websockets' 2>/dev/null && command -v grpc_python_plugin >/dev/null && command -v protoc >/dev/null; then
	exit 0
fi
install_packages 'the tests of the examples' python3-grpcio python3-websockets protobuf-compiler protobuf-compiler-grpc
