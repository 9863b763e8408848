module kagiban.dev/tests/tools/gitops-crds

go 1.26.0

// The CRDs that the examples of GitOps are checked by are taken from these; nothing of them is built.
require github.com/argoproj/argo-cd/v3 v3.5.7
require github.com/fluxcd/kustomize-controller v1.7.3
require github.com/external-secrets/external-secrets v1.3.2
require github.com/fluxcd/source-controller v1.7.3
require github.com/bitnami-labs/sealed-secrets v0.40.0
