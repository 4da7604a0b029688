#!/bin/bash
# What the script of this name in Jupyter's docker-stacks comes down to.
exec jupyter lab --ip=0.0.0.0 --port=8888 --no-browser "$@"
