#!/bin/sh
# Install the authority from this clone into a folder: image-build.sh FOLDER
#
# These are the steps of deploy/Dockerfile. They need Python 3.11 or later with pip and venv, and a package index. The folder must
# have the same path where the authority runs, because the script `authsec` names its interpreter.
set -eu
umask 022
prefix=$1
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

# The wheels of the SDK and of the server. The wheel of the server contains those that the authority serves to agents.
python3 -m pip wheel --quiet --no-deps --wheel-dir "$work/wheels" "$source/packages/authsec" "$source/packages/authsec-server"

# The tested versions of all other packages.
python3 - "$source/pyproject.toml" >"$work/constraints.txt" <<'PYTHON'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["tool"]["uv"]["constraint-dependencies"], sep="\n")
PYTHON

# An environment without pip: nothing there can install packages.
python3 -m venv --without-pip "$prefix"
python3 -m pip --python "$prefix/bin/python" install --quiet --no-compile --constraint "$work/constraints.txt" "$work"/wheels/*.whl

# Bytecode now: the folder is read-only afterwards. Python does not compare the bytecode with the source.
"$prefix/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$prefix/lib"
