// Reads the HelmReleases on stdin, one JSON object a line, by the types of Flux's helm-controller, refuses members that it does
// not know, and prints their names. Built by ../prepare.sh. The Go module with the CRD is not to be had from every proxy.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	helm "github.com/fluxcd/helm-controller/api/v2"
)

const longestLine = 1 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "helm-release:", err)
		os.Exit(1)
	}
}

func run() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		var release helm.HelmRelease
		if err := decoder.Decode(&release); err != nil {
			return err
		}
		if release.APIVersion != helm.GroupVersion.String() || release.Kind != helm.HelmReleaseKind {
			return fmt.Errorf("%s %s is no %s %s", release.APIVersion, release.Kind, helm.GroupVersion, helm.HelmReleaseKind)
		}
		fmt.Println(release.Name)
	}
	return lines.Err()
}
