{{/*
What the schema cannot say: relations between values. Each refusal is one sentence that names what to change.
*/}}
{{- define "tessera.checks" -}}
{{- if gt (len .root.Release.Name) 48 }}
{{- fail (printf "the release name %s is too long: names of Services end at 63 characters, so at most 48 are left for it" .root.Release.Name) }}
{{- end }}
{{- $component := include "tessera.component" . | fromYaml }}
{{- if and (eq .name "profiles") (include "tessera.storeUrlSecret" . | fromYaml).name (not .root.Values.privacy.masterKeysSecret.name) }}
{{- fail "profiles keeps its documents in a MongoDB and would have no key to wrap those of tenants with: name a secret (privacy.masterKeysSecret)" }}
{{- end }}
{{- $scaling := $component.autoscaling }}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- fail (printf "components.%s.autoscaling: minReplicas is more than maxReplicas" .name) }}
{{- end }}
{{- if or $scaling.enabled (gt (int $component.replicas) 1) }}
{{- if .topology.alone }}
{{- fail (printf "components.%s runs alone, since two at once would do its background work twice: set replicas to 1 and autoscaling.enabled to false" .name) }}
{{- end }}
{{- with include "tessera.ownFiles" . }}
{{- fail (printf "components.%s keeps %s files in its own pod, and each replica would have files of its own: name a MongoDB (store.urlSecret), or set replicas to 1 and autoscaling.enabled to false" $.name .) }}
{{- end }}
{{- end }}
{{- end }}
