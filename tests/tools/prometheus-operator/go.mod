module kagiban.dev/tests/tools/prometheus-operator

go 1.26.0

// The CRDs of the Prometheus Operator are taken from it; nothing of it is built.
require github.com/prometheus-operator/prometheus-operator v0.85.0
