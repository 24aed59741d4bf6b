#!/bin/sh
# Prepares the node at boot: the testbed's shared folder, the network, and what the kubelet reads.
set -e
share=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^testbed_share=//p')
mkdir -p /testbed
# the option is a key and a value since mount uses fsconfig(2), the bare path before
mount -t hostfs -o "hostfs=$share" none /testbed || mount -t hostfs -o "$share" none /testbed
mkdir -p /var/lib/containerd
mount -t ext4 /dev/ubdb /var/lib/containerd
mkdir -p /etc/kubernetes
cp /testbed/node/ca.crt /testbed/node/node.crt /testbed/node/node.key /testbed/node/kubelet.kubeconfig /etc/kubernetes/
cp /testbed/node/authorized_keys /etc/ssh/testbed_keys
ssh-keygen -q -A
chmod 600 /etc/ssh/testbed_keys /etc/kubernetes/node.key
# cAdvisor refuses this kernel's /proc/cpuinfo, which has no clock speed
mount --bind /etc/testbed/cpuinfo /proc/cpuinfo
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
device=$(ls /sys/class/net | grep -E '^(eth|vec)' | head -1)
ip addr add 10.0.2.15/24 dev "$device"
ip link set "$device" up
ip route add default via 10.0.2.2
for chain in PREROUTING OUTPUT; do
  iptables -t nat -A $chain -d 10.96.0.1/32 -p tcp --dport 443 -j DNAT --to 10.0.2.2:6443
done
