"""The node-side helper: samples cgroups, notices kills, freezes the evidence, delivers reports."""
