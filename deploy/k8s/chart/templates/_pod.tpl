{{/*
Parts of a pod. Each takes a dict: root, name, topology (the component's) and component (the operator's values for it).
*/}}

{{- define "tessera.environment" -}}
{{- $root := .root }}
{{- $prefix := upper .name }}
{{- $store := include "tessera.storeUrlSecret" . | fromYaml }}
- name: TESSERA_DATA_DIR
  value: /var/lib/tessera
- name: {{ $prefix }}_HOST
  value: 0.0.0.0
- name: {{ $prefix }}_PORT
  value: {{ .topology.port | toString | quote }}
{{- range $other := .topology.calls }}
- name: {{ upper $other }}_ADDR
  {{- /* A headless Service answers with every ready pod, and the client spreads its calls over them. */}}
  value: dns:///{{ include "tessera.host" (dict "root" $root "name" $other) }}:{{ (index $.all $other).port }}
{{- end }}
{{- if and (has "documents" .topology.keeps) $store.name }}
- name: STORE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $store.name }}
      key: {{ $store.key }}
{{- end }}
{{- if has "tables" .topology.keeps }}
{{- with $root.Values.analytics.url }}
- name: ANALYTICS_URL
  value: {{ . | quote }}
{{- end }}
{{- with $root.Values.analytics.memoryMax }}
- name: ANALYTICS_MEMORY_MAX
  value: {{ . | quote }}
{{- end }}
{{- with $root.Values.analytics.threads }}
- name: ANALYTICS_THREADS
  value: {{ . | toString | quote }}
{{- end }}
# Numerical libraries take every core of the node unless told how many are theirs.
- name: OMP_NUM_THREADS
  valueFrom:
    resourceFieldRef:
      resource: requests.cpu
{{- end }}
{{- if and (has "mail" .topology.sends) $root.Values.mail.urlSecret.name }}
- name: {{ $prefix }}_SMTP_URL
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.mail.urlSecret.name }}
      key: {{ $root.Values.mail.urlSecret.key }}
{{- end }}
{{- if and (has .name (list "profiles" "segmentation")) $root.Values.privacy.masterKeysSecret.name }}
- name: {{ $prefix }}_MASTER_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.privacy.masterKeysSecret.name }}
      key: {{ $root.Values.privacy.masterKeysSecret.key }}
{{- end }}
- name: AUTH_ISSUER
  value: {{ $root.Values.auth.issuer | quote }}
- name: AUTH_AUDIENCE
  value: {{ $root.Values.auth.audience | quote }}
{{- if $root.Values.auth.jwksUrl }}
- name: AUTH_JWKS_URL
  value: {{ $root.Values.auth.jwksUrl | quote }}
{{- else }}
- name: AUTH_PUBLIC_KEY_FILE
  value: /etc/tessera/auth/public.pem
{{- end }}
- name: SERVICE_TOKEN_FILE
  value: /etc/tessera/token/token
{{- if $root.Values.tls.enabled }}
- name: TLS_CERT_FILE
  value: /etc/tessera/tls/tls.crt
- name: TLS_KEY_FILE
  value: /etc/tessera/tls/tls.key
- name: TLS_CA_FILE
  value: /etc/tessera/tls/ca.crt
{{- end }}
- name: LOG_LEVEL
  value: {{ $root.Values.telemetry.logLevel }}
{{- with $root.Values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: TESSERA_TRACE_RATIO
  value: {{ $root.Values.telemetry.traceRatio | toString | quote }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ $root.Release.Namespace }},k8s.pod.name=$(POD_NAME),service.version={{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}
{{- range $variable, $value := .component.env }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* What each probe asks; takes root, name and topology. Liveness and readiness of the gateway are two paths. */}}
{{- define "tessera.probe" -}}
{{- if eq .topology.protocol "http" }}
httpGet:
  path: {{ .path }}
  port: http
{{- else if .root.Values.tls.enabled }}
exec:
  command: [python, /opt/tessera/probe.py, "127.0.0.1:{{ .topology.port }}", {{ include "tessera.host" . }}]
{{- else }}
grpc:
  port: {{ .topology.port }}
{{- end }}
{{- end }}

{{- define "tessera.probes" -}}
{{- $live := include "tessera.probe" (merge (dict "path" "/healthz") .) }}
{{- $ready := include "tessera.probe" (merge (dict "path" "/readyz") .) }}
{{- /* Two minutes to open stores and load indexes; after that the other two begin. */}}
startupProbe:
  {{- $live | trim | nindent 2 }}
  timeoutSeconds: 5
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  {{- $live | trim | nindent 2 }}
  timeoutSeconds: 5
  periodSeconds: 15
  failureThreshold: 4
readinessProbe:
  {{- $ready | trim | nindent 2 }}
  timeoutSeconds: 5
  periodSeconds: 5
  failureThreshold: 2
{{- end }}

{{- define "tessera.mounts" -}}
- name: data
  mountPath: /var/lib/tessera
- name: tmp
  mountPath: /tmp
- name: token
  mountPath: /etc/tessera/token
  readOnly: true
{{- if not .root.Values.auth.jwksUrl }}
- name: auth
  mountPath: /etc/tessera/auth
  readOnly: true
{{- end }}
{{- if .root.Values.tls.enabled }}
- name: tls
  mountPath: /etc/tessera/tls
  readOnly: true
{{- end }}
{{- end }}

{{- define "tessera.volumes" -}}
- name: data
  {{- if include "tessera.ownFiles" . }}
  persistentVolumeClaim:
    claimName: {{ include "tessera.fullname" . }}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir: {}
- name: token
  secret:
    secretName: {{ .root.Values.serviceTokens.secretName }}
    defaultMode: 0440
    items:
      - key: {{ .name }}
        path: token
{{- if not .root.Values.auth.jwksUrl }}
- name: auth
  secret:
    secretName: {{ .root.Values.auth.publicKeySecret.name }}
    defaultMode: 0440
    items:
      - key: {{ .root.Values.auth.publicKeySecret.key }}
        path: public.pem
{{- end }}
{{- if .root.Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "tessera.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end }}
