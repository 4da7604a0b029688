#!/bin/bash
# Writes a Debian with Python and CA certificates to the archive named: the base image of machines
# without a container registry.
set -euo pipefail
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' bookworm "$1"
