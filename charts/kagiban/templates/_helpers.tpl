{{- define "kagiban.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kagiban.operator.name" -}}{{ include "kagiban.fullname" . }}-operator{{- end -}}
{{- define "kagiban.exporter.name" -}}{{ include "kagiban.fullname" . }}-exporter{{- end -}}

{{- define "kagiban.operator.account" -}}
{{- default (ternary (include "kagiban.operator.name" .) "default" .Values.operator.serviceAccount.create) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- define "kagiban.exporter.account" -}}
{{- default (ternary (include "kagiban.exporter.name" .) "default" .Values.exporter.serviceAccount.create) .Values.exporter.serviceAccount.name -}}
{{- end -}}

{{/* The labels of everything. */}}
{{- define "kagiban.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/part-of: kagiban
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels of one component: a list of the context and its name. */}}
{{- define "kagiban.component.labels" -}}
{{ include "kagiban.component.selector" . }}
{{ include "kagiban.labels" (first .) }}
{{- end -}}

{{/* What a component's pods are chosen by; it never changes within a release. */}}
{{- define "kagiban.component.selector" -}}
app.kubernetes.io/name: kagiban-{{ last . }}
app.kubernetes.io/instance: {{ quote (first .).Release.Name }}
{{- end -}}

{{/* An image: a list of the context and the component's values. */}}
{{- define "kagiban.image" -}}
{{- $top := first . -}}
{{- $image := (last .).image -}}
{{- with $top.Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if or $image.tag (not $image.digest) }}:{{ default $top.Chart.AppVersion $image.tag }}{{ end -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* What the Pod Security Standard `restricted` asks of a pod, and of a container. */}}
{{- define "kagiban.pod.security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "kagiban.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "kagiban.fleet.namespace" -}}
{{- coalesce .Values.fleet.namespace .Values.operator.namespace .Release.Namespace -}}
{{- end -}}

{{/* One host of the fleet with its defaults, as JSON: a list of the context and the host. */}}
{{- define "kagiban.fleet.host" -}}
{{- $host := mergeOverwrite (deepCopy (first .).Values.fleet.defaults) (last .) -}}
{{- $push := has $host.product (list "powerchute-serial-shutdown" "tls-service") -}}
{{- toJson (set $host "push" $push) -}}
{{- end -}}

{{/* The URL of a host's API: of one host as above. */}}
{{- define "kagiban.fleet.url" -}}
{{- default (printf "https://%s:%v" .host .port) .url -}}
{{- end -}}

{{/* The ports of the hosts' APIs, those of the fleet among them, as JSON. */}}
{{- define "kagiban.host.ports" -}}
{{- $ports := list -}}
{{- range .Values.operator.networkPolicy.hostPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- range .Values.fleet.hosts -}}
{{- $url := include "kagiban.fleet.url" (include "kagiban.fleet.host" (list $ .) | fromJson) | trimSuffix "/" -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" $url | trimPrefix ":" | default "443" | int) -}}
{{- end -}}
{{- dict "ports" (uniq $ports) | toJson -}}
{{- end -}}

{{/* The names of the Secrets that the fleet's resources name, as JSON. */}}
{{- define "kagiban.fleet.secrets" -}}
{{- $names := list -}}
{{- range .Values.fleet.hosts -}}
{{- $host := include "kagiban.fleet.host" (list $ .) | fromJson -}}
{{- $names = append $names $host.clientSecret -}}
{{- if $host.push -}}
{{- $names = concat $names (compact (list $host.issuer $host.passwordSecret)) -}}
{{- end -}}
{{- end -}}
{{- dict "names" ($names | uniq | sortAlpha) | toJson -}}
{{- end -}}
