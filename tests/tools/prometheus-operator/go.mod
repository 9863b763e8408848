module kagiban.dev/tests/tools/prometheus-operator

go 1.26.0
