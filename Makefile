# make demo: a real cluster on this machine, memdiag on it, three kills and what memdiag says of them.
# make test: everything that CI runs. Both install what they need; `make help` lists the rest.
.DEFAULT_GOAL := help
PY := .venv/bin/python
.PHONY: help setup demo demo-down test lint unit quick api node matrix fuzz image sbom release generate bench-verdict bench-speed bench-limits bench-agent bench-storm bench-operator fit

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

setup: ## install Python, its packages and the Debian packages that are absent
	@testbed/bootstrap

demo: setup ## bring up a cluster, install memdiag, let three workloads die (KIND=1: on kind, where Docker runs)
	@$(PY) -m testbed demo $(if $(KIND),--kind)

demo-down: setup ## end the demo; nothing is left running (KIND=1: the one on kind)
	@$(PY) -m testbed down $(if $(KIND),--kind)

test: setup ## run every ring, with the time of each: lint, unit, quick kernel, API server, node
	@$(PY) -m testbed.rings

lint: setup ## style, types, layers and generated files
	@$(PY) -m testbed.rings static

unit: setup ## tests that need no kernel and no cluster
	@$(PY) -m testbed.rings unit

quick: setup ## tests on a real kernel with cgroup v2
	@$(PY) -m testbed.rings quick

api: setup ## tests on a real kube-apiserver
	@$(PY) -m testbed.rings api

node: setup ## the end-to-end tests on a real node (NODE_DRIVER=cgroupfs, NODE_RUNTIME=crun: another one)
	@$(PY) -m testbed.rings node

matrix: setup ## every kind of kill on a real node: what the kernel, the API and memdiag said
	@$(PY) -m testbed matrix

fuzz: setup ## every parser under coverage-guided fuzzing, a minute each (SECONDS_EACH=60, TARGETS=)
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/fuzz.txt
	@$(PY) -m fuzz --seconds $(or $(SECONDS_EACH),60) $(TARGETS)

image: setup ## build the image and print the size of each layer
	@$(PY) -m release image

sbom: setup ## the image's bill of materials as CycloneDX, into build/memdiag.cdx.json
	@$(PY) -m release sbom

release: setup ## wheel, chart, image, bill of materials and their SHA-256 sums of one version, into build/release
	@$(PY) -m release build

generate: setup ## write the generated files anew: crds/, the chart's copies, dashboard and table of values, pages of docs/
	@$(PY) -m memdiag.kube.crd --out crds
	@$(PY) -m memdiag.kube.crddoc
	@$(PY) -m memdiag.controller.metricsdoc
	@$(PY) charts/sync.py
	@$(PY) charts/dashboard.py
	@$(PY) charts/readme.py
	@$(PY) -m release.licences

bench-verdict: setup ## judge the verdict on labelled traces of a real kernel, beside baselines
	@$(PY) -m bench.verdict

bench-speed: setup ## time of one diagnosis against the limits of the design
	@$(PY) -m bench.verdict.speed

fit: setup ## fit the weights of evidence anew on the committed traces
	@$(PY) -m bench.verdict.fit

bench-limits: setup ## replay recommended limits beside other policies on demand known without a limit
	@$(PY) -m bench.limits

bench-storm: setup ## 200 kills at once on a real kernel, and again with a kill -9 of the agent: what was told
	@$(PY) -m bench.storm

bench-agent: setup ## what the agent costs beside a minimal loop over the same files, on a real kernel
	@$(PY) -m bench.agent

bench-operator: setup ## what the operator needs with 20,000 pods, in a storm and after a restart, beside kopf's own pod watch
	@$(PY) -m bench.operator
