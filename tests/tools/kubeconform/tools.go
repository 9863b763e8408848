//go:build tools

// Package tools pins the kubeconform that the chart's manifests are checked with.
package tools

import _ "github.com/yannh/kubeconform/cmd/kubeconform"
