//go:build tools

// Package tools pins the nfpm that packages are made with. Later versions have modules behind go.digitalxero.dev, which not
// every proxy serves.
package tools

import _ "github.com/goreleaser/nfpm/v2/cmd/nfpm"
