{{/*
Names, labels and the facts that several templates share. Each takes a dict: root, and name (the component) where needed.
*/}}

{{- define "tessera.topology" -}}
{{- .Files.Get "topology.yaml" }}
{{- end }}

{{- define "tessera.fullname" -}}
{{- printf "%s-%s" .root.Release.Name .name }}
{{- end }}

{{/* Where a component is reached, and the name that its certificate must carry. */}}
{{- define "tessera.host" -}}
{{- printf "%s.%s" (include "tessera.fullname" .) .root.Release.Namespace }}
{{- end }}

{{/* What selects a component's pods; fixed for the life of a release. */}}
{{- define "tessera.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: {{ .name }}
{{- end }}

{{- define "tessera.labels" -}}
{{ include "tessera.selector" . }}
app.kubernetes.io/part-of: tessera
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end }}

{{/* The operator's values for a component, its own over the defaults, as YAML. */}}
{{- define "tessera.component" -}}
{{- $own := index .root.Values.components .name | default dict }}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy $own) | toYaml }}
{{- end }}

{{/* The secret with a component's MongoDB URL, as YAML with name and key; an empty name where there is none. */}}
{{- define "tessera.storeUrlSecret" -}}
{{- $own := (include "tessera.component" . | fromYaml).storeUrlSecret }}
{{- ternary $own .root.Values.store.urlSecret (ne $own.name "") | toYaml }}
{{- end }}

{{/* The engines that keep files in the component's own pod, in words; empty where nothing is kept there. */}}
{{- define "tessera.ownFiles" -}}
{{- $keeps := (index (include "tessera.topology" .root | fromYaml).components .name).keeps }}
{{- $engines := list }}
{{- if and (has "documents" $keeps) (not (include "tessera.storeUrlSecret" . | fromYaml).name) }}
{{- $engines = append $engines "SQLite" }}
{{- end }}
{{- if and (has "tables" $keeps) (not .root.Values.analytics.url) }}
{{- $engines = append $engines "DuckDB" }}
{{- end }}
{{- join " and " $engines }}
{{- end }}

{{- define "tessera.tlsSecret" -}}
{{- .root.Values.tls.secretName | default (printf "%s-tls" (include "tessera.fullname" .)) }}
{{- end }}
