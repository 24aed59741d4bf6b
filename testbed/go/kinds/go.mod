module memdiag.dev/testbed/kinds

go 1.26.0

// nothing is compiled: only the kinds that these define are read, for the chart's tests
require (
	github.com/openshift/api v0.0.0-20251015095338-264e80a2b6e7
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
