#!/bin/sh
# Loads the images that the testbed shares, before the kubelet asks for them.
set -e
for archive in /testbed/images/*.tar; do
  /usr/local/bin/ctr -n k8s.io images import --local "$archive"
done
