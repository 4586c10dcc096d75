#!/bin/sh
# Adds up the prices of a file.
awk '{ sum += $2 } END { print sum }' "$1"
