#!/bin/sh
# Takes 40 MB of disk every 10 s for 20 minutes, then gives it back. Needs 5 GB.
mkdir -p fill
for i in $(seq 120); do fallocate -l 40M "fill/$i"; sleep 10; done
rm -rf fill
