#!/bin/sh
# Makes containerd's store with images unpacked: PROGRAMS WORK DISK SIZE ARCHIVE...
set -eu
programs=$1 work=$2 disk=$3 size=$4
shift 4
# overlay does not stack on every file system; on tmpfs it always does
mount -t tmpfs -o size=3g tmpfs "$work"
mkdir "$work/root" "$work/state"
cat > "$work/config.toml" <<EOF
version = 3
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/s"
EOF
"$programs/containerd" --config "$work/config.toml" &
daemon=$!
trap 'kill $daemon 2>/dev/null || true' EXIT
for _ in $(seq 100); do
  [ -S "$work/s" ] && break
  sleep 0.1
done
for archive in "$@"; do
  "$programs/ctr" --address "$work/s" -n k8s.io images import --local --snapshotter overlayfs "$archive"
done
kill $daemon
wait $daemon || true
mkfs.ext4 -q -d "$work/root" "$disk" "$size"
umount "$work"
