"""Our kinds, the CRD generator, and the look-up of pods and workloads."""
