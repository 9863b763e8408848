# `make demo` shows it, `make test` proves it. Both first say what they will fetch or build.

CARGO ?= cargo
# Where cargo builds; the programs of the demo are there.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help demo test test-windows lint bench fuzz crds docs book mutants release packages msi images reproducible audit prepare

help:
	@echo 'make demo        one keystore rotated end to end, on this machine; ONCE=1 exits when done;'
	@echo '                 CLUSTER=1 has etcd and kube-apiserver built and the operator run in a cluster;'
	@echo '                 DEMO_USE_KUBECONFIG=1 uses the cluster of KUBECONFIG;'
	@echo '                 WINDOWS=1 has agent and exporter run for Windows, under Wine;'
	@echo '                 PRODUCTS=1 plays every product of the vendors, against doubles, and ends with a table'
	@echo 'make test        every test: units, keytool, a real API server, end to end with Java, the crash sweep'
	@echo 'make test-windows   the tests of the crates that build for Windows, under Wine; says what it fetches first'
	@echo 'make lint        formatting, clippy, one crypto provider'
	@echo 'make bench       the figures: sizes, time to ready, memory, CPU per scrape; time to verified, API writes;'
	@echo '                 PARTS=resources measures one part: sizes, certificates, ups, outside, rotation, resources,'
	@echo '                 directory'
	@echo 'make fuzz        every reader of bytes from outside, guided by coverage, SECONDS=60 each'
	@echo 'make crds        writes the CRD to crds/ and into the chart from its Rust types'
	@echo 'make docs        writes docs/metrics.md, docs/ups-metrics.md, docs/api.md, docs/alerts.md, docs/dashboards.md,'
	@echo '                 the dashboards, the verdicts in docs/compat.md and the table of values in the README of the'
	@echo '                 chart from the code, the CRD, the rules, the fixtures and values.yaml'
	@echo 'make book        builds the book of docs/ with mdBook into target/book, and checks its links'
	@echo 'make mutants     seeds known bugs, one at a time; each must turn the suite red'
	@echo 'make release     programs that run on glibc 2.17 and later, with SBOMs and checksums'
	@echo 'make packages    Debian and RPM packages of both programs in target/packages, of what make release builds;'
	@echo '                 with SBOMs and checksums'
	@echo 'make msi         the Windows Installer package of the exporter in target/msi, built by the toolchain of'
	@echo '                 make test-windows'
	@echo 'make images      images of both programs in target/images, by buildah, podman or docker; BASE=IMAGE'
	@echo 'make reproducible   builds programs, packages and images twice, in two directories, and compares them'
	@echo 'make audit       advisories, licences and sources of what we depend on; KAGIBAN_ADVISORIES=DIR reads the'
	@echo '                 advisories from a copy of github.com/RustSec/advisory-db'

prepare:
	@tests/tools/prepare.sh

demo:
	@tests/tools/prepare.sh demo $(if $(CLUSTER),etcd kube-apiserver kubectl,$(if $(DEMO_USE_KUBECONFIG),kubectl))
	@[ -z '$(WINDOWS)' ] || tests/tools/windows-programs.sh
	@$(CARGO) build --workspace --bin demo --bin kagiban-exporter --bin kagiban-operator $(if $(PRODUCTS),--bin certificate-manager-double --bin ipxfer-double) --locked
	@ONCE='$(ONCE)' WINDOWS='$(WINDOWS)' CLUSTER='$(CLUSTER)' PRODUCTS='$(PRODUCTS)' $(TARGET)/debug/demo

test: prepare
	@# In a directory of its own, beside any other suite; fails when something of it is left.
	CARGO="$(CARGO)" tests/tools/suite.sh tests/tools/run-tests.sh

test-windows:
	@tests/tools/suite.sh tests/tools/test-windows.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@# It is in the lockfile for other platforms: what counts is whether anything of ours builds it here.
	@if [ -n "$$($(CARGO) tree --workspace --locked --quiet --invert ring 2>/dev/null)" ]; then \
	    echo 'lint: a second crypto provider came in: cargo tree -i ring'; exit 1; fi

crds:
	$(CARGO) run --locked --quiet -p kagiban-crds --features resource --bin crdgen >crds/.generated
	mv crds/.generated crds/managedagentcertificates.kagiban.dev.yaml
	cp crds/managedagentcertificates.kagiban.dev.yaml charts/kagiban/files/crds/

docs:
	KAGIBAN_WRITE_DOCS=1 $(CARGO) test --workspace --locked --quiet --lib -- the_documentation_of_every
	KAGIBAN_WRITE_DOCS=1 $(CARGO) test --workspace --locked --quiet --test book -- the_documentation_of_every
	KAGIBAN_WRITE_DOCS=1 $(CARGO) test --workspace --locked --quiet --test alerts -- the_documentation_has_every_alert
	KAGIBAN_WRITE_DOCS=1 $(CARGO) test --workspace --locked --quiet --test dashboards -- the_documentation_has_every_panel
	KAGIBAN_WRITE_DOCS=1 $(CARGO) test --workspace --locked --quiet --test compat -- the_documentation_has_every
	KAGIBAN_WRITE_DOCS=1 $(CARGO) test --workspace --locked --quiet --test packages -- the_documentation_has_the_exposure

book:
	@CARGO="$(CARGO)" tests/tools/book.sh

mutants: prepare
	tests/mutants/run.sh

bench: prepare
	$(CARGO) build --release --locked -p kagiban-exporter -p kagiban-operator
	$(CARGO) build --release --locked -p kagiban-keystore --example bare_loop
	$(CARGO) build --locked -p kagiban-tests --bin bench
	@KAGIBAN_BIN_DIR=$(abspath $(TARGET))/release $(TARGET)/debug/bench $(PARTS)

fuzz:
	@SECONDS_PER_TARGET='$(or $(SECONDS),60)' tests/fuzz/run.sh

release:
	@tests/tools/release.sh

packages:
	@tests/tools/packages.sh

msi:
	@tests/tools/msi.sh

images:
	@BASE='$(BASE)' tests/tools/images.sh

reproducible:
	@BASE='$(BASE)' tests/tools/reproducible.sh

audit:
	@tests/tools/audit.sh
