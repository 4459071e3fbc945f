{{/* What operator and webhook have in common. Each takes (dict "root" $ "component" operator|webhook). */}}

{{/* Metadata of a pod. A checksum replaces pods when the Secret of the chart changes. */}}
{{- define "watchstate.podMetadata" -}}
{{- $config := index .root.Values .component -}}
labels:
  {{- include "watchstate.podLabels" (dict "root" .root "component" .component "labels" $config.podLabels) | nindent 2 }}
{{- $annotations := dict }}
{{- if .root.Values.database.url }}
{{- $_ := set $annotations "checksum/database" (sha256sum .root.Values.database.url) }}
{{- end }}
{{- with merge $annotations $config.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Who the pod is and where it runs. */}}
{{- define "watchstate.podPlace" -}}
{{- $config := index .root.Values .component -}}
serviceAccountName: {{ include "watchstate.serviceAccountName" . }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $config.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $config.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $config.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $config.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $spread := list }}
{{- range $config.topologySpreadConstraints }}
{{- $own := dict "labelSelector" (dict "matchLabels" (include "watchstate.selectorLabels" $ | fromYaml)) }}
{{- $spread = append $spread (ternary . (merge $own .) (hasKey . "labelSelector")) }}
{{- end }}
{{- with $spread }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Else the Services of the namespace become variables, some of which begin like ours.
enableServiceLinks: false
{{- end }}

{{/* How pods of a Deployment are replaced. The numbers are of rolling updates only: with another type the API server refuses them, also our defaults. */}}
{{- define "watchstate.strategy" -}}
{{- $rolling := eq (.type | default "RollingUpdate") "RollingUpdate" }}
{{- toYaml (ternary . (omit . "rollingUpdate") $rolling) }}
{{- end }}

{{/* Which image a container runs, and what it may. */}}
{{- define "watchstate.containerImage" -}}
image: {{ include "watchstate.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [/usr/local/bin/watchstate-{{ .component }}]
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The database, whose address never stands in the pod's own text. */}}
{{- define "watchstate.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "watchstate.databaseSecret" .root }}
      key: {{ include "watchstate.databaseSecretKey" .root }}
{{- end }}

{{/* Logs, traces, the admin port, and what the user adds. */}}
{{- define "watchstate.commonEnv" -}}
{{- $config := index .root.Values .component -}}
- name: WATCHSTATE_ADMIN_ADDRESS
  value: 0.0.0.0:9090
- name: WATCHSTATE_LOG
  value: {{ .root.Values.logs.level | quote }}
- name: WATCHSTATE_LOG_FORMAT
  value: {{ .root.Values.logs.format | quote }}
{{- with .root.Values.traces.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with $config.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
What the operator gives to worker pods, as JSON: logs and traces as everywhere, then what the user adds, which counts, in the user's order:
a variable may refer to those before it. The kubelet shall fill these in there, and not in the text that the operator is given: there "$$" is "$".
*/}}
{{- define "watchstate.workerEnv" -}}
{{- $ours := list (dict "name" "WATCHSTATE_LOG" "value" .Values.logs.level) (dict "name" "WATCHSTATE_LOG_FORMAT" "value" .Values.logs.format) }}
{{- with .Values.traces.endpoint }}
{{- $ours = append $ours (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" .) }}
{{- end }}
{{- $given := dict }}
{{- range .Values.worker.extraEnv }}
{{- $_ := set $given .name true }}
{{- end }}
{{- $env := list }}
{{- range $ours }}
{{- if not (hasKey $given .name) }}
{{- $env = append $env . }}
{{- end }}
{{- end }}
{{- concat $env (.Values.worker.extraEnv | default list) | toJson | replace "$" "$$" }}
{{- end }}

{{/* What the operator is told of its place and of worker pods. */}}
{{- define "watchstate.operatorEnv" -}}
- name: WATCHSTATE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: WATCHSTATE_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
# What worker pods are made of: they get the name of the database's Secret, never its value.
- name: WATCHSTATE_WORKER_IMAGE
  value: {{ include "watchstate.image" . | quote }}
- name: WATCHSTATE_WORKER_IMAGE_PULL_POLICY
  value: {{ .Values.image.pullPolicy | quote }}
- name: WATCHSTATE_WORKER_SERVICE_ACCOUNT
  value: {{ include "watchstate.serviceAccountName" (dict "root" . "component" "worker") | quote }}
- name: WATCHSTATE_WORKER_ENV
  value: {{ include "watchstate.workerEnv" . | quote }}
- name: WATCHSTATE_DATABASE_SECRET
  value: {{ include "watchstate.databaseSecret" . | quote }}
- name: WATCHSTATE_DATABASE_SECRET_KEY
  value: {{ include "watchstate.databaseSecretKey" . | quote }}
{{- if or .Values.webhook.enabled .Values.webhook.url }}
- name: WATCHSTATE_WEBHOOK_URL
  value: {{ include "watchstate.webhookUrl" . | quote }}
{{- end }}
{{- end }}

{{/* Alive as long as the admin port answers, whatever the database does: to restart would help nobody. */}}
{{- define "watchstate.livenessProbes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
{{- end }}
