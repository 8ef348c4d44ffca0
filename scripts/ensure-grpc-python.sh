#!/usr/bin/env bash
# Makes sure that there is what examples/grpc/python needs, for its test.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

if /usr/bin/python3 -c 'import grpc' 2>/dev/null && command -v grpc_python_plugin >/dev/null && command -v protoc >/dev/null; then
	exit 0
fi
install_packages 'the tests of the examples' python3-grpcio protobuf-compiler protobuf-compiler-grpc
